"""What a forecast says: plain values. Times are seconds from the beginning of traffic, or from now for a
release that runs; waiting for people is not in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from releases.domain.forecast.course import Floats
from releases.domain.plan import RolloutPlan

DECIDABLE_SHARE = 0.5
"""A plan can be decided when at least so many paths are certified within its time."""
PROPOSED_SHARE = 0.9
"""A proposal has to be certain on so many."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """All requests a second that an endpoint gets now, and the share of them that fails at stable.

    `slow_share`: the share of stable's answers slower than the plan's latency limit; None when unknown.
    """

    requests_per_second: float
    error_rate: float
    slow_share: float | None = None

    def rounded(self) -> Traffic:
        """Two digits that count: more would be false precision, and fewer forecasts are made anew."""
        slow = None if self.slow_share is None else _two_digits(self.slow_share)
        return Traffic(_two_digits(self.requests_per_second), _two_digits(self.error_rate), slow)


class ForecastKind(StrEnum):
    """What can be said."""

    CERTIFIES = "certifies"
    """The certificate is to be expected within the plan's time."""
    TOO_LITTLE_TRAFFIC = "too_little_traffic"
    """It would come, but later than the plan waits."""
    HOPELESS = "hopeless"
    """Stable itself is too close to the limit for any certificate."""
    HOLDS_ONLY = "holds_only"
    """The plan asks for no certificate: it ends with its holds."""
    NO_CANARY = "no_canary"
    """Nothing to wait for: a plan without steps, or no stable version."""
    NO_TRAFFIC = "no_traffic"
    """Nobody asks the endpoint."""
    UNKNOWN = "unknown"
    """How much traffic there is cannot be said."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of the paths and where 10 and 90 % of them are; None where those never arrive."""

    low: float | None
    median: float | None
    high: float | None

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Of values that may be infinite."""
        return cls(*(finite(float(np.quantile(values, q, method="higher"))) for q in (0.1, 0.5, 0.9)))

    def to_json(self) -> dict[str, Any]:
        return {name: whole(getattr(self, name)) for name in ("low", "median", "high")}


@dataclass(frozen=True, slots=True)
class Regression:
    """A candidate with this error rate would be seen after so long; None: not within the plan's time."""

    error_rate: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan that can be decided. `change`: "weight" of the last step, or "max_canary_seconds". `word`: what
    to do; `effect`: what comes of it."""

    change: str
    value: int
    plan: RolloutPlan
    word: str
    effect: str

    @property
    def sentence(self) -> str:
        """Both in one."""
        return f"{self.word[0].lower()}{self.word[1:]}: {self.effect}"

    def to_json(self) -> dict[str, Any]:
        return {
            "change": self.change,
            "value": self.value,
            "sentence": self.sentence,
            "plan": self.plan.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """`decidable`: None when it cannot be said. `certified_share`: of the paths, within the plan's time.
    `expected_seconds`: until the last step is left, in the middle. `window_seconds`: the plan's time."""

    kind: ForecastKind
    decidable: bool | None
    sentence: str
    window_seconds: float
    traffic: Traffic | None = None
    certificate: Spread | None = None
    certified_share: float | None = None
    expected_seconds: float | None = None
    regressions: tuple[Regression, ...] = ()
    proposals: tuple[Proposal, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        traffic = self.traffic
        return {
            "kind": self.kind.value,
            "decidable": self.decidable,
            "sentence": self.sentence,
            "requests_per_second": traffic and traffic.requests_per_second,
            "error_rate": traffic and traffic.error_rate,
            "window_seconds": whole(self.window_seconds),
            "expected_seconds": whole(self.expected_seconds),
            "certificate_seconds": self.certificate and self.certificate.to_json(),
            "certified_share": self.certified_share,
            "regressions": [
                {"error_rate": found.error_rate, "seconds": whole(found.seconds)}
                for found in self.regressions
            ],
            "proposals": [proposal.to_json() for proposal in self.proposals],
        }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def whole(seconds: float | None) -> float | None:
    """Whole seconds: a forecast deserves no more."""
    return None if seconds is None else float(math.ceil(seconds))


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
