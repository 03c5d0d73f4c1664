"""The workflows of this repository against a running stack, step by step, as a runner executes them."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from mlops_portal.demo.portal import Person, Problem, cast_of
from mlops_portal.demo.traffic import Traffic
from tests.e2e.conftest import Live
from tests.e2e.runner import Job, Runner, path_with

pytestmark = [pytest.mark.survival, pytest.mark.timeout(420)]
CHECKOUT = Path(settings.BASE_DIR)
WORKFLOW = CHECKOUT / ".github/workflows/model-deployment.yaml"
ACTION = CHECKOUT / ".github/actions/release"
QUICK = {"traffic": "50", "duration": "5", "error_threshold": "0.05"}


class Hands:
    """An operator's token, and Ben, who approves whatever waits in production."""

    def __init__(self, live: Live, programs: Path) -> None:
        cast = cast_of(live.stack.layout.var / "demo.json")
        self.live = live
        self.portal, self.tenant = cast["portal"], cast["tenant"]
        ada, self._ben = Person(cast, "ada"), Person(cast, "ben")
        self.token = ada.post("tokens/", {"name": "workflow", "role": "operator"})["token"]
        for name, approvals in (("staging", 0), ("production", 1)):
            changes = {
                "requires_success_in": None,
                "approvals_required": approvals,
                "default_plan": {"grace_seconds": 2},
            }
            answer = ada.http.patch(f"/api/v1/tenants/{self.tenant}/environments/{name}/", json=changes)
            assert answer.status_code == 200, answer.text
        ada.http.close()
        self._home, self._path = programs.parent, path_with(programs)
        self._over = threading.Event()
        self._approving = threading.Thread(target=self._approve, daemon=True)
        self._approving.start()

    def _approve(self) -> None:
        waiting = "releases/?environment=production&phase=awaiting_approval"
        while not self._over.wait(0.5):
            for release in self._ben.get(waiting)["results"]:
                try:
                    self._ben.approve(release["id"], "looks fine")
                except Problem as problem:
                    if problem.status != 409:  # it went on while it was listed
                        raise

    def close(self) -> None:
        self._over.set()
        self._approving.join(30)
        self._ben.http.close()

    def dispatch(self, version: str, environment: str) -> dict[str, Job | None]:
        """Start the workflow by hand; its jobs, None where a condition said no."""
        workflow = yaml.safe_load(WORKFLOW.read_text())
        inputs = {"model_name": "wine", "version": version, "environment": environment, **QUICK}
        runner = Runner(CHECKOUT, self._home, self._path, self._contexts(inputs))
        return {name: runner.job(workflow, name) for name in ("validate", "staging", "production")}

    def act(self, **inputs: str) -> Job:
        """The composite action as a step of another workflow."""
        where = {"url": self.portal, "tenant": self.tenant, "token": self.token}
        named = {name.replace("_", "-"): value for name, value in inputs.items()}
        return Runner(CHECKOUT, self._home, self._path, self._contexts({**where, **named})).action(ACTION)

    def _contexts(self, inputs: dict[str, str]) -> dict[str, Any]:
        return {
            "inputs": inputs,
            "vars": {"PORTAL_URL": self.portal, "PORTAL_TENANT": self.tenant},
            "secrets": {"PORTAL_TOKEN": self.token},
        }

    def register(self, kind: str, change: str) -> str:
        """A new version of the sample pipeline's model."""
        found = self.live.ci.register("wine", self.live.training.run_of(kind), change, kind)
        return str(found["version"])


@pytest.fixture(scope="module")
def hands(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    """What setup-python gives a job: a Python with pip, and nothing else installed."""
    folder = tmp_path_factory.mktemp("python")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--seed", folder], check=True)
    made = Hands(live, folder / "bin")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def served(live: Live, hands: Hands) -> Iterator[str]:
    """1.0.0 is stable in production, released by the composite action, and is asked 60 times a second."""
    job = hands.act(model_name="wine", version="1.0.0", environment="production", traffic="100")
    assert job.codes == {"Install the client": 0, "Release": 0}, job.steps[-1].said
    endpoint = live.ci.get("endpoints/production/wine/")
    traffic = Traffic(f"{endpoint['url']}/infer", endpoint["headers"], live.training.await_rows(), 60)
    traffic.start()
    time.sleep(1)
    yield endpoint["stable"]
    traffic.stop()


def test_workflow_to_staging_deploys_and_tests(hands: Hands) -> None:
    version = hands.register("better", "minor")
    jobs = hands.dispatch(version, "staging")
    assert jobs["production"] is None
    validate, staging = jobs["validate"], jobs["staging"]
    assert validate is not None
    assert staging is not None
    assert validate.codes == {"Install the client": 0, "Validate": 0}, validate.steps[-1].said
    expected = {"Install the client": 0, "Deploy to staging": 0, "Smoke test": 0, "Roll back": None}
    assert staging.codes == expected, [step.said for step in staging.steps]
    assert hands.live.endpoint()["stable"] == version
    release = hands.live.ci.release(staging.outputs["deploy"]["release"])
    assert staging.outputs["deploy"]["phase"] == release["phase"] == "succeeded"
    assert release["_links"]["page"] in staging.summary


def test_workflow_to_staging_stops_at_a_version_that_validation_refuses(hands: Hands) -> None:
    before = hands.live.endpoint()["stable"]
    jobs = hands.dispatch(hands.register("breaking", "patch"), "staging")
    staging = jobs["staging"]
    assert staging is not None
    assert staging.codes["Deploy to staging"] == 1
    assert staging.codes["Smoke test"] is None
    assert staging.outputs["deploy"]["phase"] == "rejected"
    assert hands.live.endpoint()["stable"] == before


def test_workflow_to_production_promotes_a_good_canary(hands: Hands, served: str) -> None:
    version = hands.register("better", "minor")
    production = hands.dispatch(version, "production")["production"]
    assert production is not None
    expected = {"Install the client": 0, "Canary": 0, "Monitor": 0, "Promote": 0, "Roll back": None}
    assert production.codes == expected, [step.said for step in production.steps]
    assert hands.live.ci.get("endpoints/production/wine/")["stable"] == version
    assert "errors" in production.summary
    assert "|" in production.summary  # the table of the verdict


def test_workflow_to_production_rolls_a_bad_canary_back(hands: Hands, served: str) -> None:
    before = hands.live.ci.get("endpoints/production/wine/")["stable"]
    production = hands.dispatch(hands.register("faulty", "major"), "production")["production"]
    assert production is not None
    codes = production.codes
    assert codes["Promote"] is None
    assert 1 in (codes["Canary"], codes["Monitor"]), [step.said for step in production.steps]
    assert codes["Roll back"] == 0, [step.said for step in production.steps]
    release = hands.live.ci.release(production.outputs["canary"]["release"])
    assert (release["phase"], release["verdict"]["kind"]) == ("rolled_back", "harm")
    assert hands.live.ci.get("endpoints/production/wine/")["stable"] == before


def test_workflow_stops_before_anything_when_the_version_is_unknown(hands: Hands) -> None:
    validate = hands.dispatch("9.9.9", "staging")["validate"]
    assert validate is not None
    assert validate.codes["Validate"] == 1
    assert "9.9.9" in validate.steps[-1].said
