"""One whole embedded stack with trained models and steady traffic, for the tests that kill its parts."""

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_portal.demo.portal import Ci, Problem, cast_of
from mlops_portal.demo.traffic import DEPLOYMENT, Traffic
from mlops_portal.demo.training import Training
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import manage

PLAN: dict[str, Any] = {
    "steps": [{"weight": 50, "hold_seconds": 4}],
    "promotion": "no_harm",
    "grace_seconds": 2,
}
ENDED = {"succeeded", "rolled_back", "rejected", "cancelled"}
PATIENCE = 180.0


@dataclass
class Live:
    """The stack and what a test does with it; releases go to staging, which asks for no approval."""

    stack: Stack
    ci: Ci
    training: Training
    keys: int = field(default=0)

    def release(self, kind: str, change: str, plan: dict[str, Any]) -> str:
        """Register a run as the next version and file it."""
        version = self.ci.register("wine", self.training.run_of(kind), change, kind)["version"]
        self.keys += 1
        body = {"model": "wine", "version": version, "environment": "staging", "plan": plan}
        return str(self.ci.file(body, f"survival-{self.keys}")["id"])

    def kill(self, program: str) -> None:
        """SIGKILL a program of the supervisor and its children; one that is just restarting is awaited."""
        deadline = time.monotonic() + 30
        while (pid := self.stack.pid_of(program)) is None:
            assert time.monotonic() < deadline, f"{program} does not run"
            time.sleep(0.05)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for number in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def follow(self, release_id: str, kills: dict[str, list[str]]) -> dict[str, Any]:
        """Watch a release to its end; in each named phase, once, the programs are killed."""
        due = {phase: list(programs) for phase, programs in kills.items()}
        deadline, release = time.monotonic() + PATIENCE, {"phase": "", "reason": ""}
        while time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                release = self.ci.release(release_id)
            except (httpx.HTTPError, Problem):
                continue  # the database was killed too: whoever follows a release asks again
            for program in due.pop(release["phase"], []):
                self.kill(program)
            if release["phase"] in ENDED:
                assert not due, f"never seen in {sorted(due)}"
                return release
        raise AssertionError(f"{release['phase']} after {PATIENCE:.0f} s: {release['reason']}")

    def endpoint(self) -> dict[str, Any]:
        return self.ci.get("endpoints/staging/wine/")

    def model_server(self, version: str) -> str:
        """The program that serves a version in staging."""
        slug = f"acme-staging-wine-v{version.replace('.', '-')}-"
        (name,) = [info["name"] for info in self.stack.supervisor.programs() if slug in info["name"]]
        return str(name)

    def answering(self, requests: int = 20) -> set[str]:
        """Who answers at the gateway now, by the header that Envoy adds."""
        endpoint = self.endpoint()
        body = json.loads(self.training.await_rows().read_text().splitlines()[0])
        with httpx.Client(headers=endpoint["headers"], timeout=10) as client:
            answers = [client.post(f"{endpoint['url']}/infer", json=body) for _ in range(requests)]
        return {answer.headers[DEPLOYMENT] for answer in answers}

    def model_servers(self) -> set[str]:
        return {i["name"] for i in self.stack.supervisor.programs() if "acme-staging-wine" in i["name"]}


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """Started once; 1.0.0 is stable in staging and gets 20 requests a second."""
    var = Path(tempfile.mkdtemp(prefix="mlops-e2e-"))
    var.chmod(0o711)
    given = {"PATH": os.environ["PATH"], "PORTS": "auto", "PORTAL_VAR": str(var)}
    stack = Stack(var, given=given)
    traffic: Traffic | None = None
    training: Training | None = None
    ci: Ci | None = None
    try:
        stack.start()
        manage(stack, "demo_cast")
        training = Training(stack.environment(), var / "training.log", var / "rows.jsonl")
        ci = Ci(cast_of(var / "demo.json"))
        living = Live(stack, ci, training)
        # A first version is watched at 100 % for the grace time: long enough to kill while promoting.
        first = living.release("baseline", "major", {"steps": [], "grace_seconds": 5})
        first = living.follow(first, {"promoting": ["worker-control", "beat", "envoy"]})
        assert first["phase"] == "succeeded", json.dumps(first, indent=1)
        endpoint = living.endpoint()
        traffic = Traffic(f"{endpoint['url']}/infer", endpoint["headers"], training.await_rows(), 20)
        traffic.start()
        yield living
    finally:
        if ci is not None:  # the portal waits for connections that are open when it ends
            ci.http.close()
        for part in (traffic, training, stack):
            if part is not None:
                part.stop()
        left = stack_processes(var)
        shutil.rmtree(var, ignore_errors=True)
        assert not left, f"left behind: {left}"
