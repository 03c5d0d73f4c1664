"""One cluster a session, one namespace a test.

Without KUBECONFIG the cluster is a kubebox of our own with the stand-in for Seldon's operator; with it, the
real cluster that it names, and its own operator if it has one.
"""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import definitions
from tests.cluster.api import NAMESPACE, SERVICE_ACCOUNT, WEBHOOK, Api, until
from tests.cluster.kubebox import KubeBox
from tests.cluster.seldon_operator import SeldonOperator
from tests.cluster.seldon_webhook import SeldonWebhook

TENANT = "acme"
TENANT_LABEL = "mlops-portal.io/tenant"


HERE = Path(__file__).parent
# The long files begin, so that the workers end together. The first has so few tests that xdist gives its
# worker another file at once: a short one.
LONGEST = [
    HERE / f"test_{name}.py"
    for name in ("releases", "troubles", "refusals", "kubeconfig", "away", "hanging", "router_istio")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here are of one kind; others may be collected with them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: LONGEST.index(item.path) if item.path in LONGEST else len(LONGEST))


@dataclass
class TestCluster:
    """A cluster, as its administrator sees it. `box`: None when it is a real one."""

    __test__ = False

    api: Api
    admin: Path
    portal: Path
    box: KubeBox | None = None
    operator: SeldonOperator | None = None

    @contextlib.contextmanager
    def namespace(self, tenant: str = TENANT) -> Iterator[str]:
        """A namespace that belongs to a tenant, with its default service account."""
        name = f"t-{secrets.token_hex(4)}"
        labels = {TENANT_LABEL: tenant} if tenant else {}
        self.api.create(NAMESPACE, {"metadata": {"name": name, "labels": labels}})
        until(lambda: self.api.get(SERVICE_ACCOUNT, "default", name), f"service account of {name}")
        try:
            yield name
        finally:
            self.api.delete(NAMESPACE, name)  # takes seconds; nobody waits for it


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """The cluster of this session, ready for SeldonDeployments."""
    try:
        kinds = definitions.istio() + definitions.seldon()
    except definitions.Missing as missing:
        pytest.fail(str(missing))
    with contextlib.ExitStack() as ends:
        given = os.environ.get("KUBECONFIG")
        made = _real(Path(given)) if given else _own(ends)
        definitions.define(made.api, kinds)
        if not _has_operator(made.api):
            _play_operator(made, ends)
        yield made


def _real(kubeconfig: Path) -> TestCluster:
    return TestCluster(Api(kubeconfig), kubeconfig, kubeconfig)


def _own(ends: contextlib.ExitStack) -> TestCluster:
    folder = Path(tempfile.mkdtemp(prefix="mlops-cluster-"))
    ends.callback(shutil.rmtree, folder, ignore_errors=True)
    box = KubeBox(folder / "box")
    ends.callback(box.stop)
    box.await_ready()
    return TestCluster(Api(box.admin), box.admin, box.portal, box)


def _has_operator(api: Api) -> bool:
    return any("seldon-validating-webhook" in item["metadata"]["name"] for item in api.list(WEBHOOK))


def _play_operator(made: TestCluster, ends: contextlib.ExitStack) -> None:
    if made.box:  # a real cluster does not reach a webhook on this machine
        webhook = SeldonWebhook()
        webhook.start()
        ends.callback(webhook.stop)
        made.api.create(WEBHOOK, webhook.configuration())
    made.operator = SeldonOperator(Api(made.admin))
    made.operator.start()
    ends.callback(made.operator.stop)


@pytest.fixture
def namespace(cluster: TestCluster) -> Iterator[str]:
    """A namespace of the tenant."""
    with cluster.namespace() as name:
        yield name
    if cluster.operator and cluster.operator.failure:
        raise cluster.operator.failure


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failure comes with the end of the control plane's log."""
    report = yield
    found = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(found, TestCluster) and found.box:  # type: ignore[attr-defined]
        report.sections.append(("kubebox", found.box.last_words()))  # type: ignore[attr-defined]
    return report


logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
