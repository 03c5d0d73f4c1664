"""The outcome of one check, and its row. Knows no particular check."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction

from releases.models import Release, ValidationCheck


class Stage(StrEnum):
    """When a check is made."""

    VALIDATION = "validation"
    SMOKE = "smoke"


class Outcome(StrEnum):
    """How a check stands; RUNNING is not an end."""

    RUNNING = "running"
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended, in words, and what it found, as JSON."""

    outcome: Outcome
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def passed(reason: str, **detail: Any) -> Result:
    return Result(Outcome.PASS, reason, detail)


def failed(reason: str, **detail: Any) -> Result:
    return Result(Outcome.FAIL, reason, detail)


def skipped(reason: str, **detail: Any) -> Result:
    return Result(Outcome.SKIPPED, reason, detail)


@dataclass(slots=True)
class Line:
    """One check's row: shown as running from `begin` on, final with `end`."""

    row: ValidationCheck
    began: float

    @classmethod
    def begin(cls, release: Release, stage: Stage, position: int, name: str, at: datetime) -> "Line":
        """The row appears; one of an earlier try is begun again."""
        row, _ = ValidationCheck.objects.update_or_create(
            release=release,
            stage=stage.value,
            name=name,
            defaults={
                "tenant_id": release.tenant_id,
                "position": position,
                "outcome": Outcome.RUNNING.value,
                "reason": "",
                "detail": {},
                "seconds": 0.0,
                "at": at,
            },
        )
        return cls(row, time.monotonic())

    def end(self, result: Result, at: datetime) -> None:
        """Write the result; a savepoint, because what a model reports may be unfit for the database."""
        self.row.outcome, self.row.reason = result.outcome.value, result.reason
        self.row.detail, self.row.at = dict(result.detail), at
        self.row.seconds = round(time.monotonic() - self.began, 3)
        with transaction.atomic():
            self.row.save()

    def wait(self, reason: str) -> None:
        """Still running, and why it does not get on."""
        ValidationCheck.objects.filter(pk=self.row.pk).update(reason=reason)


def by_release(releases: Sequence[Release], stage: Stage) -> dict[str, list[ValidationCheck]]:
    """Release id -> its rows of a stage in order; one query, without their details."""
    found: dict[str, list[ValidationCheck]] = {}
    rows = ValidationCheck.objects.filter(release__in=[release.pk for release in releases], stage=stage.value)
    for row in rows.defer("detail").order_by("position"):
        found.setdefault(row.release_id, []).append(row)
    return found
