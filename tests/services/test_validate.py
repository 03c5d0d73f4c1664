"""Validation as a whole: the order of the checks, what fails, what is skipped, who may run it."""

import pytest
from django.db import connection, connections

from releases.domain.release import Progress, Work
from releases.domain.version import Change
from releases.models import Release, ValidationCheck
from releases.ports import ModelReport, Ports
from releases.services import locks
from releases.services.checks import Outcome
from releases.services.validate import progress, validate
from releases.services.validate.running import CHECKS
from tests.services.rig import Rig

ALL = [check.name for check in CHECKS]
DANGEROUS = b"cos\nsystem\n(S'true'\ntR."


def filed(rig: Rig, change: Change = Change.MINOR, **logged: object) -> Release:
    """A release that is to be validated."""
    rig.works = False
    return rig.file(rig.register(change, **logged))


def run(rig: Rig, release: Release) -> Work:
    assert validate(release.pk, rig.world.ports, rig.store, rig.clock)
    return progress([release])[release.pk]


def rows(release: Release) -> dict[str, ValidationCheck]:
    return {row.name: row for row in release.checks.order_by("position")}


def outcomes(release: Release) -> dict[str, str]:
    return {name: row.outcome for name, row in rows(release).items()}


def test_validate_good_version_passes_and_keeps_what_it_found(rig: Rig) -> None:
    release = filed(rig)
    assert progress([release])[release.pk] == Work(Progress.PENDING, "waits for a worker to validate it")
    assert run(rig, release) == Work(Progress.PASSED, "7 checks passed, 3 skipped")
    assert list(rows(release)) == ALL
    release.version.refresh_from_db()
    assert release.version.digest.startswith("sha256:")
    assert release.version.size_bytes == len(b"run_id: run-1\n")
    assert rig.store.holds(release.version.digest)
    assert rows(release)["artifact"].detail["digest"] == release.version.digest
    loads = rows(release)["loads"]
    assert loads.reason == "loaded and answered its input example in 0.8 s with 210 MB"
    assert loads.detail["example"]["inputs"][0]["name"] == "alcohol"
    assert rig.world.probe.limits == [(60, 4096)]


def test_validate_writes_each_row_when_it_begins(rig: Rig) -> None:
    release = filed(rig)
    seen: list[dict[str, str]] = []
    reasons: list[str] = []
    probe = rig.world.probe

    class Watching:
        def inspect(self, *limits: object) -> ModelReport:
            seen.append(outcomes(release))
            reasons.append(progress([release])[release.pk].reason)
            return probe.report

    ports = Ports(**{**vars_of(rig.world.ports), "probe": Watching()})
    assert validate(release.pk, ports, rig.store, rig.clock)
    before = dict.fromkeys(ALL[: ALL.index("loads")], "pass") | {"members": "skipped"}
    assert seen == [before | {"loads": "running"}]
    assert reasons == ["checking: loads"]


def vars_of(ports: Ports) -> dict[str, object]:
    return {name: getattr(ports, name) for name in Ports.__dataclass_fields__}


def test_validate_version_deleted_in_the_registry_fails_and_skips_what_depends_on_it(rig: Rig) -> None:
    release = filed(rig)
    rig.world.registry.versions.clear()
    work = run(rig, release)
    assert work.progress is Progress.FAILED
    assert work.reason.startswith("version: the registry does not give version 1:")
    assert outcomes(release) == {"version": "fail", **dict.fromkeys(ALL[1:], "skipped")}
    assert rows(release)["loads"].reason == "not made: version failed"


def test_validate_tag_that_was_changed_fails(rig: Rig) -> None:
    release = filed(rig)
    rig.world.registry.annotate("acme-wine", 1, {"semantic_version": "9.9.9"})
    assert run(rig, release).reason == "version: filed as 1.0.0, but the registry calls it 9.9.9 now"


def test_validate_artifact_that_vanished_fails_and_the_signature_is_still_checked(rig: Rig) -> None:
    release = filed(rig)
    rig.world.registry.artifacts.clear()
    assert run(rig, release).reason == "artifact: the artifact of acme-wine version 1 is gone"
    assert outcomes(release)["signature"] == "pass"
    assert outcomes(release)["loads"] == outcomes(release)["staging"] == "skipped"


def test_validate_artifact_that_changed_since_it_was_fetched_fails(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.works = False
    release = rig.file(rig.model.versions.get(), "staging")
    rig.world.registry.artifacts["acme-wine", 1] = {"MLmodel": b"something else"}
    work = run(rig, release)
    assert work.progress is Progress.FAILED
    assert work.reason.startswith("artifact: the artifact changed since it was first fetched: sha256:")
    before = release.version.digest
    release.version.refresh_from_db()
    assert release.version.digest == before


def test_validate_dangerous_pickle_fails_and_is_not_loaded(rig: Rig) -> None:
    release = filed(rig, files={"MLmodel": b"run_id: run-1\n", "model.pkl": DANGEROUS})
    work = run(rig, release)
    assert work.progress is Progress.FAILED
    assert work.reason.startswith("pickle: must not be loaded: model.pkl: ")
    assert rows(release)["loads"].reason == "not made: pickle failed"
    assert rig.world.probe.limits == []
    assert rows(release)["pickle"].detail["dangerous"]


def test_validate_model_that_does_not_load_fails_with_its_words(rig: Rig) -> None:
    release = filed(rig)
    rig.world.probe.report = ModelReport("the model needed more than 4096 MB", 3.0, 4100.0)
    assert run(rig, release) == Work(Progress.FAILED, "loads: the model needed more than 4096 MB")


def test_validate_report_that_the_database_cannot_hold_fails_instead_of_looping(rig: Rig) -> None:
    release = filed(rig)
    rig.world.probe.report = ModelReport(None, 1.0, 1.0, {"inputs": ["\x00"]})
    assert run(rig, release).reason.startswith("loads: what the check found cannot be stored")


def test_validate_defect_in_a_check_fails_it_and_is_logged(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    release = filed(rig)

    class Broken:
        def inspect(self, *limits: object) -> ModelReport:
            raise ZeroDivisionError("a defect")

    ports = Ports(**{**vars_of(rig.world.ports), "probe": Broken()})
    assert validate(release.pk, ports, rig.store, rig.clock)
    assert progress([release])[release.pk].reason == "loads: internal error; it has been logged"
    assert "a defect" in caplog.text


def test_validate_registry_away_is_no_failure_and_is_tried_again(rig: Rig) -> None:
    release = filed(rig)
    rig.world.registry.reachable = False
    assert not validate(release.pk, rig.world.ports, rig.store, rig.clock)
    expected = Work(Progress.PENDING, "version: the registry does not answer; trying again")
    assert progress([release])[release.pk] == expected
    rig.world.registry.reachable = True
    assert run(rig, release).progress is Progress.PASSED


def test_validate_rows_of_a_killed_worker_are_thrown_away(rig: Rig) -> None:
    release = filed(rig)
    for name in ("version", "artifact", "long gone"):
        ValidationCheck.objects.create(
            tenant=release.tenant, release=release, position=9, name=name, outcome="running", at=rig.at
        )
    assert run(rig, release).progress is Progress.PASSED
    assert list(rows(release)) == ALL


def test_validate_again_after_the_end_changes_nothing(rig: Rig) -> None:
    release = filed(rig)
    run(rig, release)
    before = list(release.checks.values_list("pk", "at"))
    assert validate(release.pk, rig.world.ports, rig.store, rig.clock)
    assert list(release.checks.values_list("pk", "at")) == before
    assert len(rig.world.probe.limits) == 1


def test_validate_release_that_is_not_validating_is_left_alone(rig: Rig) -> None:
    release = filed(rig)
    Release.objects.filter(pk=release.pk).update(phase="cancelled")
    assert not validate(release.pk, rig.world.ports, rig.store, rig.clock)
    assert not release.checks.exists()


def test_validate_while_another_worker_is_at_it_does_nothing(rig: Rig) -> None:
    release = filed(rig)
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('validate'), hashtext(%s))", [release.pk])
        assert not validate(release.pk, rig.world.ports, rig.store, rig.clock)
        assert not release.checks.exists()
    finally:
        other.close()


def test_progress_of_many_releases_is_one_query(
    rig: Rig, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    release = filed(rig)
    run(rig, release)
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert set(progress([release, release])) == {release.pk}
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert progress([]) == {}


def test_outcomes_are_those_of_the_table() -> None:
    choices = {value for value, _ in ValidationCheck._meta.get_field("outcome").choices or ()}
    assert {outcome.value for outcome in Outcome} == choices


HELD = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND datname = current_database()
"""


@pytest.mark.django_db(transaction=True)
def test_lock_of_another_connection_is_seen_and_ends_with_it() -> None:
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext('validate'), hashtext('R1'))")
        with locks.held("validate", "R1") as is_ours:
            assert not is_ours
        with locks.held("validate", "R2") as is_ours:
            assert is_ours
    finally:
        other.close()  # as the server does it when a worker is killed
    for _ in range(100):
        with locks.held("validate", "R1") as is_ours:
            if is_ours:
                break
    assert is_ours
    with connection.cursor() as cursor:
        cursor.execute(HELD)  # in this database: others of the same server have locks of their own
        assert cursor.fetchone()[0] == 0
