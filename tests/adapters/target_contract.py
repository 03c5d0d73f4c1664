"""What every serving target promises. A test module brings the fixture `subject` and imports these tests.

They run against the fake, against MLServer processes under supervisord, and against a Kubernetes API server.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from releases.domain.release import TargetState
from releases.ports import Deployment, ServingTarget, TargetStatus, Unreachable

__all__ = [
    "test_deployment_gets_ready_and_stays_the_same_when_ensured_again",
    "test_model_that_does_not_load_fails_and_says_why",
    "test_remove_of_a_stranger_is_fine",
    "test_status_of_a_stranger_is_absent",
    "test_target_that_does_not_answer_is_unreachable_and_knows_nothing",
    "test_two_deployments_have_addresses_of_their_own",
]


@dataclass
class Subject:
    """A target, and what a test does to it."""

    target: ServingTarget
    artifact: Path
    break_model: Callable[[], Path]  # an artifact that cannot be loaded
    go_away: Callable[[], object]
    is_made_at_once: bool = True  # not by somebody else, who may still be at it when we go on
    address: str = r"127\.0\.0\.1:\d+"  # what addresses look like

    def deployment(self, ref: str = "wine-v1-0-0") -> Deployment:
        """Of a version of its own for each ref."""
        version = VERSIONS.get(ref, "9.0.0")
        return Deployment(ref, "acme", "production", "wine", version, "d1", self.artifact)

    def reaches(self, ref: str, *states: TargetState, seconds: float = 60) -> TargetStatus:
        """The status as soon as it is one of these."""
        deadline = time.monotonic() + seconds
        while (status := self.target.status([ref])[ref]).state not in states:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        return status

    def remove(self, ref: str, seconds: float = 20) -> None:
        """As the portal does it: again and again, until it is no longer listed."""
        if not self.is_made_at_once:
            self.reaches(ref, TargetState.READY)
        deadline = time.monotonic() + seconds
        self.target.remove(ref)
        while ref in self.target.list():
            assert time.monotonic() < deadline, f"{ref} is still there"
            time.sleep(0.1)
            self.target.remove(ref)


VERSIONS = {"wine-v1-0-0": "1.0.0", "wine-v1-1-0": "1.1.0"}


def test_deployment_gets_ready_and_stays_the_same_when_ensured_again(subject: Subject) -> None:
    deployment = subject.deployment()
    subject.target.ensure(deployment)
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.STARTING
    ready = subject.reaches(deployment.ref, TargetState.READY)
    assert ready.digest == "d1"
    assert ready.address is not None
    assert re.fullmatch(subject.address, ready.address)
    subject.target.ensure(deployment)
    assert subject.target.status([deployment.ref]) == {deployment.ref: ready}
    assert subject.target.list() == {deployment.ref}
    subject.remove(deployment.ref)
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.ABSENT
    assert subject.target.list() == set()


def test_two_deployments_have_addresses_of_their_own(subject: Subject) -> None:
    refs = ["wine-v1-0-0", "wine-v1-1-0"]
    for ref in refs:
        subject.target.ensure(subject.deployment(ref))
    addresses = {status.address for status in subject.target.status(refs).values()}
    assert len(addresses) == 2
    assert subject.target.list() == set(refs)
    subject.remove(refs[0])
    assert subject.target.list() == {refs[1]}


def test_model_that_does_not_load_fails_and_says_why(subject: Subject) -> None:
    broken = replace(subject.deployment("broken"), artifact=subject.break_model())
    subject.target.ensure(broken)
    failed = subject.reaches("broken", TargetState.FAILED, TargetState.READY)
    assert failed.state is TargetState.FAILED
    assert "No module named 'vanished'" in failed.detail


def test_status_of_a_stranger_is_absent(subject: Subject) -> None:
    assert subject.target.status(["nobody"])["nobody"].state is TargetState.ABSENT
    assert subject.target.status([]) == {}


def test_remove_of_a_stranger_is_fine(subject: Subject) -> None:
    subject.target.remove("nobody")
    assert subject.target.list() == set()


def test_target_that_does_not_answer_is_unreachable_and_knows_nothing(subject: Subject) -> None:
    deployment = subject.deployment()
    subject.target.ensure(deployment)
    subject.go_away()
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.UNKNOWN
    with pytest.raises(Unreachable):
        subject.target.ensure(deployment)
    with pytest.raises(Unreachable):
        subject.target.remove(deployment.ref)
    with pytest.raises(Unreachable):
        subject.target.list()
