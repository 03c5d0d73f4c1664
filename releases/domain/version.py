"""Semantic versions of models: parse, order, bump (semver.org 2.0.0, without build metadata)."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import Self

from releases.domain.errors import Invalid

LARGEST_PART = 2**31 - 1
_PATTERN = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?",
    re.ASCII,
)


class Change(StrEnum):
    """What a new version changes: the contract, a capability, or a fix."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


_RANK = {Change.PATCH: 0, Change.MINOR: 1, Change.MAJOR: 2}


def covers(declared: Change, needed: Change) -> bool:
    """Whether a bump that was declared is at least the bump that is needed."""
    return _RANK[declared] >= _RANK[needed]


@total_ordering
@dataclass(frozen=True, slots=True)
class SemanticVersion:
    """MAJOR.MINOR.PATCH[-prerelease]; ordered by precedence, not as text."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a version such as "1.4.2" or "2.0.0-rc.1"; raises `Invalid`."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise Invalid(f"{text[:80]!r} is not a semantic version such as 1.4.2", code="bad_version")
        major, minor, patch = (int(part[:11]) for part in match.groups()[:3])
        if max(major, minor, patch) > LARGEST_PART or len(text) > 128:
            raise Invalid("a part of the version is too large", code="bad_version")
        return cls(major, minor, patch, match[4] or "")

    def bump(self, change: Change) -> "SemanticVersion":
        """The next version for a change; a pre-release of it is finished, not skipped."""
        if change is Change.MAJOR:
            finished = self.prerelease and self.minor == self.patch == 0
            return SemanticVersion(self.major + (not finished), 0, 0)
        if change is Change.MINOR:
            finished = self.prerelease and self.patch == 0
            return SemanticVersion(self.major, self.minor + (not finished), 0)
        return SemanticVersion(self.major, self.minor, self.patch + (not self.prerelease))

    def change_from(self, older: "SemanticVersion") -> Change:
        """What the step from `older` to this version declares."""
        if self.major != older.major:
            return Change.MAJOR
        return Change.MINOR if self.minor != older.minor else Change.PATCH

    def __str__(self) -> str:
        core = f"{self.major}.{self.minor}.{self.patch}"
        return f"{core}-{self.prerelease}" if self.prerelease else core

    def _precedence(self) -> tuple[object, ...]:
        identifiers = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part)
            for part in self.prerelease.split(".")
            if part
        )
        return (self.major, self.minor, self.patch, not self.prerelease, identifiers)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, SemanticVersion):
            return NotImplemented
        return self._precedence() < other._precedence()


FIRST_VERSION = SemanticVersion(1, 0, 0)
