"""Replays over HTTP: past releases in the eyes of a plan; a release as a recording for the command line."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from releases.domain.release import Phase
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented
from tests.traffic import simulate

PATH = "endpoints/production/mead/replay/"


@pytest.fixture
def past(scene: Scene) -> Scene:
    """Mead 1.2.0 failed half of its requests and was rolled back; mead 1.3.0 was well."""
    start = timezone.now() - timedelta(hours=1)
    scene.ended.started_at = start
    scene.ended.save()
    simulate(scene.ended, since=start, seconds=30, candidate_errors=0.5)
    decided = start + timedelta(seconds=20)
    factories.walk(
        scene.ended, [(Phase.ROLLING_BACK, decided, "harm seen"), (Phase.ROLLED_BACK, decided, "back")]
    )
    good = scene.mead.versions.get(version="1.3.0")
    release = factories.release(scene.at_mead, good, Phase.SUCCEEDED, started_at=start, at=start)
    simulate(release, since=start, seconds=200, candidate_errors=0.0, candidate_rate=30.0)
    scene.good = release  # type: ignore[attr-defined]
    return scene


def test_replay_says_what_the_plan_would_have_said_and_what_happened(call: Call, past: Scene) -> None:
    answer = call("post", PATH, Role.VIEWER, body={})
    assert answer.status_code == 200
    assert_documented("post", HERE + PATH, answer)
    content = answer.json()
    assert content["plan"]["alpha"] == 0.01
    good, bad = content["releases"]
    assert (good["version"], good["verdict"]["kind"], good["verdict"]["driven_by"]) == (
        "1.3.0",
        "certified",
        [],
    )
    assert good["happened"]["phase"] == "succeeded"
    assert (bad["version"], bad["verdict"]["kind"]) == ("1.2.0", "harm")
    assert bad["verdict"]["after_seconds"] <= bad["sampled_seconds"] < 20
    assert bad["verdict"]["driven_by"]
    assert (bad["happened"]["after_seconds"], bad["happened"]["reason"]) == (20, "harm seen")
    assert bad["url"].endswith(f"{HERE}releases/{bad['release']}/")
    assert content["sentence"].startswith("would have rolled back 1 of 2: 1.2.0 after ")


def test_replay_takes_any_part_of_a_plan_over_the_environments_defaults(call: Call, past: Scene) -> None:
    past.production.default_plan = {"beta": 0.2}
    past.production.save()
    body = {"plan": {"rules": {"error_rate_max": 0.5, "compare_errors": False}}}
    content = call("post", PATH, body=body).json()
    rules = content["plan"]["rules"]
    assert (content["plan"]["beta"], rules["error_rate_max"], rules["compare_errors"]) == (0.2, 0.5, False)
    assert [one["verdict"]["kind"] == "harm" for one in content["releases"]] == [False, False]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"plan": {"rules": {"alpah": 1}}}, "plan.rules.alpah"),
        ({"plan": {"alpha": 0.9}}, "plan.alpha"),
        ({"plann": {}}, "plann"),
    ],
)
def test_replay_of_a_wrong_plan_is_refused_with_its_field(call: Call, body: object, path: str) -> None:
    answer = call("post", PATH, body=body)
    assert answer.status_code == 422
    assert path in answer.json()["errors"]
    assert_documented("post", HERE + PATH, answer)


def test_replay_of_an_endpoint_without_a_past_says_so(call: Call) -> None:
    content = call("post", PATH, body={}).json()
    assert (content["releases"], content["sentence"]) == (
        [],
        "no finished release with samples to replay yet",
    )
    assert call("post", "endpoints/production/perry/replay/", body={}).status_code == 404


def test_recording_replayed_at_the_command_line_gives_the_same_verdict(
    call: Call, past: Scene, tmp_path: Path
) -> None:
    said = {one["release"]: one for one in call("post", PATH, body={}).json()["releases"]}
    for release in (past.ended, past.good):  # type: ignore[attr-defined]
        answer = call("get", f"releases/{release.pk}/replay/", Role.VIEWER, Accept="application/x-ndjson")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="release-{release.pk}.jsonl"'
        file = tmp_path / "release.jsonl"
        file.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
        out = StringIO()
        call_command("replay", str(file), "--json", stdout=out)
        verdict, found = said[release.pk]["verdict"], json.loads(out.getvalue())
        assert (found["kind"], found["at"]) == (verdict["kind"], verdict["after_seconds"])


def test_recording_of_a_release_without_samples_is_empty(call: Call) -> None:
    answer = call("get", "releases/{ended}/replay/")
    assert (answer.status_code, b"".join(answer.streaming_content)) == (200, b"")  # type: ignore[attr-defined]
