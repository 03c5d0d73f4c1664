"""What the story of the serving blocks claimed, and its last line."""

from dataclasses import dataclass

from mlops_portal.demo.report import Report


@dataclass
class ServingReport(Report):
    """Filled while the story is told; seconds are None for what did not happen."""

    ensemble_seconds: float | None = None
    member_seconds: float | None = None
    releases: int = 0
    hits: int = 0
    asked: int = 0

    def last_line(self) -> str:
        """The line that scripts look for."""
        return (
            f"demo-serving: {came('ensemble', self.ensemble_seconds)}, "
            f"{came('new member', self.member_seconds)}, {self.releases} releases, "
            f"{self.hits} cache hits of {self.asked} questions, "
            f"requests {self.tally.total} failed {self.tally.total_failed}"
        )


def came(what: str, seconds: float | None) -> str:
    """Whether it was promoted, and how long that took."""
    return f"{what} promoted in {seconds:.0f} s" if seconds is not None else f"{what} not promoted"
