"""What can go wrong on a cluster while a version is released: what people are told, and how it goes on."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releases.adapters.kubernetes_api import SECRET
from releases.domain.release import Act
from releases.models import Release
from releases.services import commands
from tests.cluster import pods, rights
from tests.cluster.api import (
    NAMESPACE,
    POD,
    QUOTA,
    ROLE_BINDING,
    SELDON_DEPLOYMENT,
    SERVICE_ACCOUNT,
    VIRTUAL_SERVICE,
    WEBHOOK,
    Api,
    until,
)
from tests.cluster.conftest import TENANT, TENANT_LABEL, TestCluster
from tests.cluster.rig import SECRET as SECRET_NAME
from tests.cluster.rig import ClusterRig

pytestmark = pytest.mark.timeout(180)

AWAY = 60.0  # seconds without an API server
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


@pytest.fixture
def rig(db: None, cluster: TestCluster, namespace: str, tmp_path: Path) -> ClusterRig:
    """A portal whose environment production is the namespace; nothing serves yet."""
    made = ClusterRig(tmp_path / "artifacts")
    made.settle(cluster.api, str(cluster.portal), namespace)
    give_away(cluster.api, namespace)
    return made


def give_away(api: Api, namespace: str) -> None:
    """What whoever rules the cluster does for an environment: rights, and the secret for the artifacts."""
    rights.grant(api, [namespace])
    api.create(SECRET, {"metadata": {"name": SECRET_NAME}}, namespace)


def canary(rig: ClusterRig) -> Release:
    """A release whose split has been seen in effect."""
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    candidate, _ = rig.refs(release)
    until(lambda: len(rig.uids(candidate)) == 2, "the autoscaler's minimum")
    return told(rig, release, "s left")


def told(rig: ClusterRig, release: Release, words: str, ticks: int = 60) -> Release:
    """The release once its reason has these words."""
    for _ in range(ticks):
        release.refresh_from_db()
        if words in release.reason:
            return release
        rig.tick()
    raise AssertionError(f"never said {words!r}: {release.phase}: {release.reason}")


# ---- without trouble -----------------------------------------------------------------------------
def test_release_is_promoted_without_restarting_a_pod_even_when_the_old_version_goes(rig: ClusterRig) -> None:
    release = canary(rig)
    candidate, stable = rig.refs(release)
    before = rig.uids(candidate)
    rig.run(release, "succeeded")
    until(lambda: rig.look() or not rig.uids(str(stable)), "the old version is gone", every=0)
    assert [each["name"] for each in rig.seldon_deployment()["spec"]["predictors"]] == ["v1-1-0"]
    assert rig.uids(candidate) == before


def test_faulty_version_is_rolled_back_and_removed_without_restarting_the_stable_one(rig: ClusterRig) -> None:
    release = canary(rig)
    candidate, stable = rig.refs(release)
    before = rig.uids(str(stable))
    rig.errors["1.1.0"] = 0.4
    rig.run(release, "rolled_back")
    assert "harm: " in rig.reasons(release)
    assert rig.weights() == {"wine-v1-0-0": 100}
    until(lambda: rig.look() or not rig.uids(candidate), "the candidate is gone", every=0)
    assert rig.uids(str(stable)) == before
    assert rig.weights("wine") == {"wine-v1-0-0": 100}


# ---- somebody else writes ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("meddle", "found"),
    [
        ("seldon", "the SeldonDeployment wine gives v1-0-0 50 %, not 60 %"),
        ("ours", "the SeldonDeployment wine gives v1-0-0 60 %, not 1 %"),
    ],
)
def test_weights_changed_by_hand_are_repaired_and_that_stands_in_the_history(
    rig: ClusterRig, meddle: str, found: str
) -> None:
    release = canary(rig)
    if meddle == "seldon":
        changed = rig.seldon_deployment()
        for predictor in changed["spec"]["predictors"]:
            predictor["traffic"] = 50
        rig.api.replace(SELDON_DEPLOYMENT, changed)
    else:
        changed = rig.virtual_service()
        for destination, weight in zip(changed["spec"]["http"][1]["route"], (1, 99), strict=True):
            destination["weight"] = weight
        rig.api.replace(VIRTUAL_SERVICE, changed)
    told(rig, release, "changed from outside")
    told(rig, release, "s left")
    assert f"the split was changed from outside ({found}); repairing it" in rig.reasons(release)
    assert rig.weights() == {"wine-v1-0-0": 60, "wine-v1-1-0": 40}
    rig.run(release, "succeeded")


def test_another_writer_is_never_overwritten_and_keeps_nobody_from_releasing(rig: ClusterRig) -> None:
    release = canary(rig)
    with writing(rig) as written:
        rig.run(release, "succeeded")
    assert written > [0]
    assert rig.seldon_deployment()["metadata"]["annotations"]["example.com/touched"] == str(written[0])


@contextlib.contextmanager
def writing(rig: ClusterRig) -> Iterator[list[int]]:
    """Somebody changes the SeldonDeployment all the time; yields how often, so far."""
    count, ending = [0], threading.Event()

    def write() -> None:
        for number in itertools.count(1):
            if ending.wait(0.03):
                return
            meta = {"annotations": {"example.com/touched": str(number)}}
            rig.api.patch(SELDON_DEPLOYMENT, "wine", rig.namespace, {"metadata": meta})
            count[0] = number

    thread = threading.Thread(target=write, name="another-writer", daemon=True)
    thread.start()
    try:
        yield count
    finally:
        ending.set()
        thread.join(10)


# ---- the candidate does not run ------------------------------------------------------------------
def test_candidate_that_never_starts_is_rolled_back_with_its_last_words_and_the_next_one_goes_through(
    rig: ClusterRig,
) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "deploying")
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "ModuleNotFoundError: vanished")):
        rig.run(release, "rolled_back")
    failed = rig.history_line(release, "rolling_back")
    assert failed.startswith("the deployment failed: the container model of wine-v1-1-0-0-model-")
    assert failed.endswith("ended 4 times, last with exit code 1: ModuleNotFoundError: vanished")
    rig.run(rig.file(rig.register()), "succeeded")


def test_candidate_that_crashes_in_its_canary_holds_says_so_and_goes_on_when_it_runs_again(
    rig: ClusterRig,
) -> None:
    release = canary(rig)
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "out of memory", 137, "OOMKilled")):
        told(rig, release, "holding: the candidate does not serve: the container model of wine-v1-1-0")
        assert "OOMKilled" in release.reason or "out of memory" in release.reason
    for pod in pods.of(rig.api, rig.namespace, candidate):
        rig.api.delete(POD, pod["metadata"]["name"], rig.namespace)
    rig.run(release, "succeeded")


def test_crashing_candidate_is_rolled_back_although_the_operator_stands_still_and_is_removed(
    rig: ClusterRig,
) -> None:
    release = canary(rig)
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "out of memory")):
        told(rig, release, "does not serve")
        commands.act(rig.ada, release.pk, Act.ABORT, "it crashes", at=rig.at)
        rig.run(release, "rolled_back", seconds=10)
        assert rig.weights() == {"wine-v1-0-0": 100}
        until(lambda: rig.look() or not rig.uids(candidate), "the candidate is gone", every=0)
    until(lambda: rig.weights("wine") == {"wine-v1-0-0": 100}, "the operator follows")


# ---- the cluster says no -------------------------------------------------------------------------
def test_quota_refuses_the_pods_is_told_and_the_release_goes_on_when_there_is_room(rig: ClusterRig) -> None:
    rig.serve(rig.register())
    rig.api.create(QUOTA, {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}}}, rig.namespace)
    release = rig.file(rig.register())
    told(rig, release, "deploying: its pods cannot be made: pods ")
    assert (
        "is forbidden: exceeded quota: full, requested: pods=1, used: pods=2, limited: pods=2"
        in release.reason
    )
    rig.api.patch(QUOTA, "full", rig.namespace, {"spec": {"hard": {"pods": "9"}}})
    rig.run(release, "succeeded")


def test_policy_of_the_cluster_refuses_the_manifest_before_anything_moves_and_names_the_field(
    rig: ClusterRig,
) -> None:
    rig.serve(rig.register())
    with refusing(rig, "Only images of our own registry: ask the platform team."):
        release = rig.run(rig.file(rig.register()), "rejected")
        assert release.reason.startswith("preflight: ")
        assert "Only images of our own registry: ask the platform team." in release.reason
        assert [each["name"] for each in rig.seldon_deployment()["spec"]["predictors"]] == ["v1-0-0"]
    rig.run(rig.file(release.version), "succeeded")


@contextlib.contextmanager
def refusing(rig: ClusterRig, said: str) -> Iterator[None]:
    """The cluster has a policy that no predictor but the first fulfils."""
    name = f"own-images-{rig.namespace}"
    resources = {
        "apiGroups": ["machinelearning.seldon.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["seldondeployments"],
    }
    expression = "object.spec.predictors.size() < 2"
    spec = {
        "matchConstraints": {"resourceRules": [resources]},
        "validations": [{"expression": expression, "message": said}],
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": rig.namespace}}
        },
    }
    bindings = POLICIES.replace("policies", "policybindings")
    rig.api.call("POST", POLICIES, {"metadata": {"name": name}, "spec": spec})
    rig.api.call("POST", bindings, {"metadata": {"name": name}, "spec": binding})
    try:
        until(lambda: _is_refused(rig), "the policy is in effect")
        yield
    finally:
        rig.api.call("DELETE", f"{bindings}/{name}")
        rig.api.call("DELETE", f"{POLICIES}/{name}")
        until(lambda: not _is_refused(rig), "the policy is gone")


def _is_refused(rig: ClusterRig) -> bool:
    """Whether a second predictor is refused, tried dry."""
    found = rig.seldon_deployment()
    (first,) = found["spec"]["predictors"]
    second = {**first, "name": "second", "traffic": 0}
    body: dict[str, Any] = {"spec": {"predictors": [first, second]}}
    path = SELDON_DEPLOYMENT.path(rig.namespace, "wine")
    try:
        rig.api.call("PATCH", path, body, "application/merge-patch+json", dryRun="All")
    except Exception as error:
        return "platform team" in str(error)
    return False


def test_webhook_that_is_away_is_waited_for(rig: ClusterRig, cluster: TestCluster) -> None:
    """As while Seldon's operator is being updated: its webhook must answer, and does not."""
    if not cluster.box:
        pytest.skip("only on a cluster of our own")
    rig.serve(rig.register())
    (known,) = rig.api.list(WEBHOOK)
    broken = {**known, "webhooks": [{**known["webhooks"][0], "timeoutSeconds": 1}]}
    broken["webhooks"][0]["clientConfig"] = {
        **known["webhooks"][0]["clientConfig"],
        "url": "https://127.0.0.1:9/validate",
    }
    rig.api.replace(WEBHOOK, broken)
    try:
        release = rig.file(rig.register())
        for _ in range(5):
            rig.tick()
        release.refresh_from_db()
        said = f"{release.reason} {list(release.checks.values_list('reason', flat=True))}"
        assert release.phase in ("validating", "deploying")
        assert "failed calling webhook" in said
    finally:
        version = rig.api.get(WEBHOOK, known["metadata"]["name"])
        assert version
        known["metadata"]["resourceVersion"] = version["metadata"]["resourceVersion"]
        rig.api.replace(WEBHOOK, known)
    rig.run(release, "succeeded")


# ---- what is missing -----------------------------------------------------------------------------
def test_missing_namespace_is_told_with_what_to_do_and_the_release_goes_through_when_it_is_there(
    db: None, cluster: TestCluster, tmp_path: Path
) -> None:
    with cluster.namespace() as known:
        name = f"{known}-missing"
        rig = ClusterRig(tmp_path / "artifacts")
        rig.settle(cluster.api, str(cluster.portal), name)
        rights.grant(cluster.api, [])
        release = rig.run(rig.file(rig.register()), "rejected")
        assert f"the namespace {name} is not open to the portal" in release.reason
        assert (
            "Perhaps it does not exist: whoever rules the cluster creates it with the label" in release.reason
        )
        cluster.api.create(NAMESPACE, {"metadata": {"name": name, "labels": {TENANT_LABEL: TENANT}}})
        until(lambda: cluster.api.get(SERVICE_ACCOUNT, "default", name), "service account")
        give_away(cluster.api, name)
        rig.run(rig.file(release.version), "succeeded")
        cluster.api.delete(NAMESPACE, name)


def test_namespace_of_another_tenant_is_refused_until_it_is_given_away(rig: ClusterRig) -> None:
    rig.api.patch(NAMESPACE, rig.namespace, None, {"metadata": {"labels": {TENANT_LABEL: "globex"}}})
    release = rig.run(rig.file(rig.register()), "rejected")
    assert f"has {TENANT_LABEL}=globex, so it is not {TENANT}'s" in release.reason
    assert f"kubectl label namespace {rig.namespace} {TENANT_LABEL}={TENANT}" in release.reason
    rig.api.patch(NAMESPACE, rig.namespace, None, {"metadata": {"labels": {TENANT_LABEL: TENANT}}})
    rig.run(rig.file(release.version), "succeeded")


def test_missing_rights_are_told_by_name_and_the_release_goes_on_when_they_are_given(rig: ClusterRig) -> None:
    release = canary(rig)
    for binding in rig.api.list(ROLE_BINDING, rig.namespace):
        rig.api.delete(ROLE_BINDING, binding["metadata"]["name"], rig.namespace)
    told(rig, release, "is forbidden: User ")
    rights.grant(rig.api, [rig.namespace])
    rig.run(release, "succeeded")


# ---- the API server is away ----------------------------------------------------------------------
def test_api_server_away_for_a_minute_holds_the_canary_and_then_it_goes_on(
    rig: ClusterRig, cluster: TestCluster
) -> None:
    if not cluster.box:
        pytest.skip("only a cluster of our own can be stopped")
    release = canary(rig)
    candidate, _ = rig.refs(release)
    before = rig.uids(candidate)
    cluster.box.pause()
    try:
        began = time.monotonic()
        while time.monotonic() < began + AWAY:
            rig.tick()
            time.sleep(0.5)
        release.refresh_from_db()
        assert release.phase == "canary"
        assert "holding: " in release.reason
    finally:
        cluster.box.go_on()
    rig.run(release, "succeeded")
    assert rig.uids(candidate) == before
