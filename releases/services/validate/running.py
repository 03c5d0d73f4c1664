"""Goes through the checks of a release, and tells how far they are.

Each check's row is written when it begins and when it ends, so that a page shows the progress. A worker
that is killed leaves its rows behind; the next one begins anew. An engine that is away is no failure: the
row says so and the whole is tried again, until the plan's deadline.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError

from releases.domain.release import Phase, Progress, Work
from releases.models import Release, ValidationCheck
from releases.ports import Ports, Unreachable
from releases.services import locks
from releases.services.artifacts import ArtifactStore
from releases.services.checks import Line, Outcome, Result, Stage, by_release, failed, skipped
from releases.services.validate import contents, contract, earlier, origin, quality, target
from releases.services.validate.subject import Subject

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
INTERNAL_ERROR = "internal error; it has been logged"


@dataclass(frozen=True, slots=True)
class Check:
    """`needs`: the checks without whose success this one cannot be made."""

    name: str
    make: Callable[[Subject], Result]
    needs: tuple[str, ...] = ()


CHECKS = (
    Check("version", origin.version),
    Check("artifact", origin.artifact, ("version",)),
    Check("preflight", target.preflight, ("artifact",)),
    Check("pickle", contents.pickle, ("artifact",)),
    Check("code", contents.code, ("artifact",)),
    Check("members", contents.members, ("artifact",)),
    Check("signature", contract.signature, ("version",)),
    Check("loads", contents.loads, ("artifact", "pickle")),
    Check("metrics", quality.metrics, ("version",)),
    Check("staging", earlier.staging, ("artifact",)),
)


def validate(release_id: str, ports: Ports, store: ArtifactStore, clock: Clock) -> bool:
    """Make all checks. True: there is a result. False: another worker is at it, the release is not being
    validated, or an engine is away; the caller asks again."""
    with locks.held("validate", release_id) as is_ours:
        if not is_ours:
            return False
        release = (
            Release.objects.select_related(
                "endpoint__tenant",
                "endpoint__environment__requires_success_in",
                "endpoint__model",
                "version__model",
                "stable",
            )
            .filter(pk=release_id, phase=Phase.VALIDATING)
            .first()
        )
        if release is None:
            return False
        if progress([release])[release.pk].progress is not Progress.PENDING:
            return True
        ValidationCheck.objects.filter(release=release, stage=Stage.VALIDATION).delete()
        return _run(Subject(release, ports, store, clock), clock)


def _run(subject: Subject, clock: Clock) -> bool:
    blocked: dict[str, str] = {}  # check -> why those that need it cannot be made
    for position, check in enumerate(CHECKS, start=1):
        line = Line.begin(subject.release, Stage.VALIDATION, position, check.name, clock())
        reason = next((blocked[need] for need in check.needs if need in blocked), None)
        try:
            result = skipped(reason) if reason is not None else _make(check, subject)
        except Unreachable as error:
            line.wait(f"{error}; trying again")
            logger.warning("release %s, check %s: %s", subject.release.pk, check.name, error)
            return False
        if result.outcome is Outcome.FAIL:
            blocked[check.name] = f"not made: {check.name} failed"
        elif reason is not None:
            blocked[check.name] = reason
        _end(line, result, clock())
    return True


def _make(check: Check, subject: Subject) -> Result:
    try:
        return check.make(subject)
    except (Unreachable, OperationalError, InterfaceError):
        raise  # not the model's fault: tried again
    except Exception:
        logger.exception("release %s, check %s", subject.release.pk, check.name)
        return failed(INTERNAL_ERROR)


def _end(line: Line, result: Result, at: datetime) -> None:
    try:
        line.end(result, at)
    except (OperationalError, InterfaceError):
        raise
    except (DatabaseError, ValueError, TypeError):
        # What the model reported cannot be stored (a NUL, no number): then it cannot be sent either.
        logger.exception("release %s: the result of %s", line.row.release_id, line.row.name)
        line.end(failed(f"what the check found cannot be stored as JSON. {result.reason}"), at)


def progress(releases: Sequence[Release]) -> dict[str, Work]:
    """Release id -> how far its validation is; one query."""
    rows = by_release(releases, Stage.VALIDATION) if releases else {}
    return {release.pk: _work(rows.get(release.pk, [])) for release in releases}


def _work(rows: Sequence[ValidationCheck]) -> Work:
    for row in rows:
        if row.outcome == Outcome.RUNNING:
            return Work(
                Progress.PENDING, f"{row.name}: {row.reason}" if row.reason else f"checking: {row.name}"
            )
    if {row.name for row in rows} != {check.name for check in CHECKS}:
        return Work(
            Progress.PENDING, "validation is running" if rows else "waits for a worker to validate it"
        )
    failures = [f"{row.name}: {row.reason}" for row in rows if row.outcome == Outcome.FAIL]
    if failures:
        return Work(Progress.FAILED, "; ".join(failures))
    count = sum(row.outcome == Outcome.PASS for row in rows)
    words = f"{count} checks passed" if count != 1 else "1 check passed"
    left = len(rows) - count
    return Work(Progress.PASSED, f"{words}, {left} skipped" if left else words)
