"""The smoke test asks the candidate through the gateway and compares with the validation."""

from typing import Any

import pytest

from releases.domain.release import Progress, Work
from releases.models import Release
from releases.ports import Answer
from releases.services import commands
from releases.services.smoke import smoke_progress, smoke_test
from tests.fakes_outside import EXAMPLE, OUTPUTS
from tests.services.rig import Rig


def deployed(rig: Rig) -> Release:
    """A release whose deployment is ready and whose smoke test is due."""
    rig.world.gateway.reachable = False
    release = rig.run(rig.file(rig.register()), "smoke_testing")
    rig.works, rig.world.gateway.reachable = False, True
    rig.world.gateway.calls.clear()
    release.checks.filter(stage="smoke").delete()
    return release


def run(rig: Rig, release: Release) -> Work:
    smoke_test(release.pk, rig.world.ports, rig.clock)
    return smoke_progress([release])[release.pk]


def answer(outputs: Any = None) -> Answer:
    """What the model says, by default what it said in validation."""
    return Answer(200, {"outputs": list(OUTPUTS) if outputs is None else outputs}, 0.004)


def test_smoke_asks_the_candidate_three_times_with_its_example(rig: Rig) -> None:
    release = deployed(rig)
    assert smoke_progress([release])[release.pk].reason == "waits for a worker to ask the candidate"
    expected = "output-1 INT64 [1, 1], as in validation; 4.0, 4.0, 4.0 ms"
    assert run(rig, release) == Work(Progress.PASSED, expected)
    candidate, _ = rig.refs(release)
    assert len(rig.world.gateway.calls) == 3
    for call in rig.world.gateway.calls:
        assert call.url == "http://gateway.test/acme/production/v2/models/wine"
        assert call.request == EXAMPLE
        assert call.headers == {"x-portal-deployment": candidate}
    rows = release.checks.filter(stage="smoke").order_by("position")
    assert [(row.name, row.outcome) for row in rows] == [
        ("status", "pass"),
        ("outputs", "pass"),
        ("latency", "pass"),
    ]
    assert rows[2].detail == {"milliseconds": [4.0, 4.0, 4.0]}


def test_smoke_twice_asks_once(rig: Rig) -> None:
    release = deployed(rig)
    run(rig, release)
    run(rig, release)
    assert len(rig.world.gateway.calls) == 3


@pytest.mark.parametrize("status", [404, 502, 503, 504])
def test_smoke_gateway_that_does_not_know_the_deployment_yet_is_asked_again(rig: Rig, status: int) -> None:
    release = deployed(rig)
    rig.world.gateway.answer = Answer(status, {"error": "no healthy upstream"}, 0.001)
    work = run(rig, release)
    assert work == Work(Progress.PENDING, f"no answer yet: the gateway says {status}: no healthy upstream")
    rig.world.gateway.answer = answer()
    assert run(rig, release).progress is Progress.PASSED


def test_smoke_gateway_that_is_away_is_asked_again(rig: Rig) -> None:
    release = deployed(rig)
    rig.world.gateway.reachable = False
    work = run(rig, release)
    assert work.progress is Progress.PENDING
    assert work.reason.startswith("no answer yet: no answer from http://gateway.test/")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            Answer(500, {"error": "ValueError: bad column"}, 0.1),
            "the model answered its input example with status 500: ValueError: bad column",
        ),
        (Answer(400, None, 0.1), "the model answered its input example with status 400"),
        (Answer(200, None, 0.1), "the answer is not one of the inference protocol"),
        (answer("nonsense"), "the answer is not one of the inference protocol"),
        (answer([]), "no output through the gateway, output-1 INT64 [1, 1] in validation"),
        (
            answer([{"name": "output-1", "datatype": "FP64", "shape": [1, 1]}]),
            "output-1 FP64 [1, 1] through the gateway, output-1 INT64 [1, 1] in validation",
        ),
        (
            answer([{"name": "output-1", "datatype": "INT64", "shape": [1, 2]}]),
            "output-1 INT64 [1, 2] through the gateway, output-1 INT64 [1, 1] in validation",
        ),
    ],
)
def test_smoke_wrong_answer_fails_and_says_how(rig: Rig, wrong: Answer, reason: str) -> None:
    release = deployed(rig)
    rig.world.gateway.answer = wrong
    assert run(rig, release) == Work(Progress.FAILED, reason)


def test_smoke_one_wrong_answer_of_three_fails(rig: Rig) -> None:
    release = deployed(rig)
    answers = [answer(), answer([]), answer()]
    rig.world.gateway.respond = lambda call: answers[len(rig.world.gateway.calls) - 1]
    assert run(rig, release).progress is Progress.FAILED


def test_smoke_of_a_return_asks_with_the_example_of_the_first_validation(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.serve(rig.register())
    release = commands.return_to_previous(rig.ada, "production", "wine", reason="complaints", at=rig.at)
    assert not release.checks.exists()
    rig.run(release, "succeeded", seconds=20)
    assert release.checks.filter(stage="smoke", outcome="pass").count() == 3


def test_smoke_without_any_kept_example_fails_in_words(rig: Rig) -> None:
    release = deployed(rig)
    release.checks.all().delete()
    assert run(rig, release).reason.startswith("no validation of this version has kept an input example")


def test_smoke_of_a_release_in_another_phase_does_nothing(rig: Rig) -> None:
    release = deployed(rig)
    Release.objects.filter(pk=release.pk).update(phase="cancelled")
    smoke_test(release.pk, rig.world.ports, rig.clock)
    assert rig.world.gateway.calls == []
    assert not release.checks.filter(stage="smoke").exists()
