"""The record of a release: samples, checks, history, and the evidence that can be verified elsewhere."""

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
import rfc8785
from django.db import IntegrityError, connection, transaction

from releases.domain.release import Phase
from releases.models import Release, ReleaseManifest, Sample
from releases.services import evidence_export, history
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented
from tests.api.test_problems import assert_problem

START = factories.moment("2026-11-23 03:07:00")


def sample(of: Release, second: int, arm: str, **changes: Any) -> Sample:
    return Sample.objects.create(
        **{
            "tenant": of.tenant,
            "release": of,
            "at": START + timedelta(seconds=second),
            "arm": arm,
            "seconds": 1.0,
            "requests": 9 if arm == "stable" else 1,
            "errors": 0,
            "client_errors": 0,
            "latency_counts": [0, 9, 0] if arm == "stable" else [0, 1, 0],
            "split_candidate": 10,
            "harm_evidence": 1.25 if arm == "candidate" else None,
            "certificate_evidence": 0.5 if arm == "candidate" else None,
            "errors_evidence": 1.5 if arm == "candidate" else None,
            "latency_evidence": 0.75 if arm == "candidate" else None,
            "prediction_counts": [5, 4] if arm == "stable" else [1, 0],
            **changes,
        }
    )


@pytest.fixture
def sampled(scene: Scene) -> Release:
    """The canary with three seconds of samples of both arms."""
    for second in range(3):
        sample(scene.canary, second, "stable")
        sample(scene.canary, second, "candidate")
    return scene.canary


def test_samples_are_a_row_per_arm_oldest_first(call: Call, sampled: Release) -> None:
    answer = call("get", "releases/{canary}/samples/")
    rows = answer.json()["results"]
    assert [(row["at"][17:], row["arm"]) for row in rows] == [
        (f"0{second}Z", arm) for second in range(3) for arm in ("candidate", "stable")
    ]
    assert rows[0]["evidence"] == {
        "harm": 1.25,
        "certificate": 0.5,
        "errors": 1.5,
        "latency": 0.75,
        "predictions": None,
    }
    assert rows[1]["prediction_counts"] == [5, 4]
    assert rows[1]["evidence"] is None
    assert rows[1]["latency_counts"] == [0, 9, 0]
    assert_documented("get", f"{HERE}releases/{sampled.pk}/samples/", answer)


def test_samples_pages_split_no_second_and_lose_no_row(call: Call, sampled: Release) -> None:
    seen, path = [], "releases/{canary}/samples/?limit=1"
    while path:
        page = call("get", path).json()
        seen += [(row["at"], row["arm"]) for row in page["results"]]
        path = page["next"].partition(HERE)[2] if page["next"] else ""
    assert len(set(seen)) == len(seen) == 6


@pytest.mark.parametrize(
    ("after", "rows"),
    [
        ("2026-11-23T03:07:00Z", 4),
        ("2026-11-23T04:07:01%2B01:00", 2),
        ("2026-11-23T04:07:01+01:00", 2),
        (f"{START.timestamp() + 0.5}", 4),
        (f"{START.timestamp():.0f}", 4),
        ("2030-01-01T00:00:00Z", 0),
        ("", 6),
    ],
)
def test_samples_after_a_moment_are_the_later_ones(
    call: Call, sampled: Release, after: str, rows: int
) -> None:
    assert len(call("get", f"releases/{{canary}}/samples/?after={after}").json()["results"]) == rows


@pytest.mark.parametrize(
    "after",
    ["soon", "nan", "inf", "1e300", "-1e300", "2026-11-23", "2026-11-23T03:07:00", "2026-13-23T03:07:00Z"],
)
def test_samples_after_what_is_no_moment_is_422(call: Call, after: str) -> None:
    problem = assert_problem(call("get", f"releases/{{canary}}/samples/?after={after}"), 422, "invalid")
    assert list(problem["errors"]) == ["after"]


@pytest.mark.parametrize("after", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-12:00"])
def test_samples_after_a_moment_at_the_end_of_time_never_break(call: Call, after: str) -> None:
    assert call("get", f"releases/{{canary}}/samples/?after={after}").status_code == 422


def test_samples_evidence_without_bound_is_finite_in_json(call: Call, scene: Scene) -> None:
    sample(scene.canary, 0, "candidate", harm_evidence=float("inf"))
    row = call("get", "releases/{canary}/samples/").json()["results"][0]
    assert row["evidence"]["harm"] == 1e300


def test_checks_and_transitions_come_in_the_order_they_were_made(call: Call, scene: Scene) -> None:
    factories.check(scene.canary, "signature")
    factories.check(scene.canary, "gateway", "fail", stage="smoke", reason="answered 500")
    factories.walk(scene.canary, [(Phase.PAUSED, START, "paused by ada: a look")])
    checks = call("get", "releases/{canary}/checks/")
    assert [(row["name"], row["outcome"]) for row in checks.json()["results"]] == [
        ("signature", "pass"),
        ("gateway", "fail"),
    ]
    assert_documented("get", f"{HERE}releases/{scene.canary.pk}/checks/", checks)
    lines = call("get", "releases/{canary}/transitions/").json()["results"]
    assert [(line["from_phase"], line["to_phase"]) for line in lines] == [
        (None, "canary"),
        ("canary", "paused"),
    ]
    assert lines[1]["previous_hash"] == lines[0]["hash"]


# ---- evidence --------------------------------------------------------------------------------------
def hash_of(previous: str, content: object) -> str:
    """As `chain.algorithm` describes it, without any code of the portal."""
    return hashlib.sha256(previous.encode() + rfc8785.dumps(content)).hexdigest()


def evidence(call: Call) -> dict[str, Any]:
    document: dict[str, Any] = call("get", "releases/{canary}/evidence/").json()
    return document


def test_evidence_can_be_verified_from_the_document_alone(call: Call, sampled: Release, scene: Scene) -> None:
    factories.check(sampled, "signature")
    factories.approval(sampled, scene.cast.ben)
    factories.walk(sampled, [(Phase.PAUSED, START, "paused"), (Phase.CANARY, START, "resumed")])
    document = evidence(call)
    previous = document["chain"]["genesis"]
    for line in document["record"]["transitions"]:
        assert line["previous_hash"] == previous
        previous = hash_of(previous, line["content"])
        assert line["hash"] == previous
    assert document["chain"]["last"] == previous
    assert document["chain"]["seal"] == hash_of(previous, document["record"])
    assert document["chain"]["whole"] is True


def test_evidence_holds_the_whole_record(call: Call, sampled: Release, scene: Scene) -> None:
    factories.check(sampled, "signature")
    factories.approval(sampled, scene.cast.ben, comment="looks good")
    factories.hold(sampled)
    record = evidence(call)["record"]
    assert record["release"]["plan"] == sampled.plan
    assert record["release"]["verdict"]["kind"] == "none"
    assert record["version"]["digest"] == sampled.version.digest
    assert record["checks"][0]["name"] == "signature"
    assert (record["approvals"][0]["by"], record["approvals"][0]["comment"]) == ("ben", "looks good")
    assert record["approvals"][0]["by_identity"] == f"user:{scene.cast.ben.pk}"
    assert record["holds"][0]["reason"] == "rolled back: 6.2 % errors"
    assert len(record["samples"]) == 6


def test_evidence_holds_the_self_test_of_the_filing(call: Call, scene: Scene) -> None:
    assert evidence(call)["record"]["self_test"] is None
    factories.baseline(scene.at_mead)
    filed = call(
        *("post", "releases/"), body={"model": "mead", "version": "1.3.0", "environment": "production"}
    ).json()
    record = call("get", f"releases/{filed['id']}/evidence/").json()["record"]
    assert record["self_test"]["at"] == filed["requested_at"]
    assert record["self_test"]["sentence"].startswith("too little traffic yet to test stable")


def test_evidence_holds_the_manifests_and_seals_them(call: Call, sampled: Release) -> None:
    assert evidence(call)["record"]["manifests"] is None
    kept = ReleaseManifest.objects.create(
        tenant=sampled.tenant, release=sampled, after="traffic: 0\n", at=START, applied_at=START
    )
    document = evidence(call)
    assert document["record"]["manifests"] == {
        "before": "",
        "after": "traffic: 0\n",
        "checked_at": "2026-11-23T03:07:00Z",
        "applied_at": "2026-11-23T03:07:00Z",
        "ended": None,
        "ended_at": None,
    }
    kept.ended, kept.ended_at = "traffic: 100\n", START
    kept.save()
    assert evidence(call)["record"]["manifests"]["ended"] == "traffic: 100\n"
    assert evidence(call)["chain"]["seal"] != document["chain"]["seal"]


def test_evidence_the_same_record_has_the_same_seal_on_another_day(sampled: Release) -> None:
    first = evidence_export.export(sampled, at=START)
    later = evidence_export.export(sampled, at=START + timedelta(days=400))
    assert first["exported_at"] != later["exported_at"]
    assert first["chain"] == later["chain"]


@pytest.mark.parametrize("part", ["samples", "approvals", "checks", "release", "version", "holds"])
def test_evidence_any_change_breaks_the_seal(call: Call, sampled: Release, scene: Scene, part: str) -> None:
    factories.check(sampled, "signature")
    factories.approval(sampled, scene.cast.ben)
    factories.hold(sampled)
    document = evidence(call)
    changed = document["record"][part]
    if isinstance(changed, list):
        changed.pop()
    else:
        changed["digest"] = "sha256:" + "0" * 64
    assert document["chain"]["seal"] != hash_of(document["chain"]["last"], document["record"])


def test_evidence_forged_history_is_told(sampled: Release) -> None:
    factories.walk(sampled, [(Phase.PAUSED, START, "paused"), (Phase.CANARY, START, "resumed")])
    with connection.cursor() as cursor:  # somebody with the database's own password
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE releases_transition DISABLE TRIGGER append_only")
        cursor.execute("UPDATE releases_transition SET actor = 'nobody' WHERE sequence = 2")
    assert evidence_export.export(sampled, at=START)["chain"]["whole"] is False


@pytest.mark.parametrize(
    "statement", ["UPDATE releases_transition SET reason = 'nothing'", "DELETE FROM releases_transition"]
)
def test_history_refuses_change_and_deletion_even_in_plain_sql(sampled: Release, statement: str) -> None:
    refused = pytest.raises(IntegrityError, match="append-only")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert history.is_whole(list(sampled.transitions.all()))


def test_evidence_is_offered_as_a_file(call: Call, scene: Scene) -> None:
    answer = call("get", "releases/{canary}/evidence/")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="release-{scene.canary.pk}.json"'
    assert json.loads(answer.content)["format"] == "mlops-portal-evidence/1"
