"""What happened beside the model in both arms of a release: answers from the cache, features, failed members.

Only for versions that have something beside them. The judge sees none of it: answers from the cache were
taken out before it looked.
"""

from dataclasses import dataclass

from releases.domain.composition import Composition, Core
from releases.domain.judge import BESIDE
from releases.models import ModelVersion, Release
from releases.models.places import TargetKind
from releases.services.queries.samples import ArmSeries, Series


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; `of` 0 when nothing was asked."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        """0 to 1."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of both arms; None where the version has no such block. `is_trouble`: any of it is worth a
    look. `explained` says what is counted."""

    name: str
    explained: str
    stable: Share | None
    candidate: Share | None
    is_trouble: bool = True

    @property
    def has_trouble(self) -> bool:
        """Whether the candidate has any of it."""
        return self.is_trouble and self.candidate is not None and self.candidate.count > 0


def beside(release: Release, series: Series) -> list[Line]:
    """The lines of the panel; none when neither version has anything beside its model, and on clusters, where
    nobody reads what model servers count."""
    if release.endpoint.environment.target != TargetKind.LOCAL:
        return []
    stable, candidate = _of(release.stable), _of(release.version)
    lines = [
        Line(
            name,
            explained,
            _share(stable, series.stable, what),
            _share(candidate, series.candidate, what),
            is_trouble,
        )
        for name, explained, what, is_trouble in _LINES
    ]
    return [line for line in lines if line.stable is not None or line.candidate is not None]


_LINES = (
    ("Answers from the cache", "Of all answers. The judge counts the others.", "cache_hits", False),
    ("Features missing", "Of all rows looked up. The store does not know them.", "features_missing", True),
    ("Features stale", "Of all rows looked up. Older than their view allows.", "features_stale", True),
    (
        "Features out of reach",
        "Of all rows looked up. The store did not answer.",
        "features_unreachable",
        True,
    ),
    (
        "Failures of members",
        "Of all answers that members owed. A quorum may answer.",
        "member_failures",
        True,
    ),
)


def _of(version: ModelVersion | None) -> Composition | None:
    return version.composed_of if version else None


def _share(made: Composition | None, arm: ArmSeries, what: str) -> Share | None:
    if made is None:
        return None
    counts = (
        dict(zip(BESIDE, map(int, arm.beside), strict=True)) if len(arm.beside) else dict.fromkeys(BESIDE, 0)
    )
    answers = int(arm.requests.sum())
    if what == "cache_hits":
        return Share(counts[what], counts[what] + answers) if "cache" in made.blocks else None
    if what == "member_failures":
        owed = answers * len(made.members)
        return Share(counts[what], owed) if made.core is Core.ENSEMBLE else None
    looked_up = sum(count for name, count in counts.items() if name.startswith("features_"))
    return Share(counts[what], looked_up) if "features" in made.blocks else None
