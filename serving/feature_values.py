"""What is wrong with values of features, and what to do about it. Pure: no store, no clock.

A value is missing (the entity is unknown, or has none), stale (older than its view's time to live) or, for
all entities of a request at once, out of reach. Each has a policy: `error`, `default` or `null`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

FOUND, MISSING, STALE, UNREACHABLE = OUTCOMES = ("found", "missing", "stale", "unreachable")
FEW = 3
"""So many entities are named in an error."""


class StoreUnreachable(Exception):
    """The online store does not answer."""


class FeaturesFailed(RuntimeError):
    """Features are needed that are not to be had, and the policy is `error`."""


@dataclass(frozen=True, slots=True)
class Values:
    """One feature of several entities, in their order; None, and no time, where there is none."""

    values: Sequence[Any]
    times: Sequence[datetime | None]
    time_to_live: timedelta | None
    """None: values of this view never get stale."""

    def outcomes(self, now: datetime) -> list[str]:
        """What each value is: found, missing or stale. A value without a time cannot be trusted: missing."""
        return [self._outcome(*each, now) for each in zip(self.values, self.times, strict=True)]

    def _outcome(self, value: Any, time: datetime | None, now: datetime) -> str:
        if value is None or time is None:
            return MISSING
        if self.time_to_live is not None and now - time > self.time_to_live:
            return STALE
        return FOUND


def worst(outcomes: Sequence[Sequence[str]]) -> list[str]:
    """Per entity the worst of its features' outcomes."""
    return [max(each, key=OUTCOMES.index) for each in zip(*outcomes, strict=True)]


def filled(
    values: Sequence[Any], outcomes: Sequence[str], policies: Mapping[str, str], default: Any
) -> list[Any]:
    """The values, with the default or None in the place of those that are not to be used."""
    stand_ins = {"default": default, "null": None, "error": None}
    return [
        value if outcome == FOUND else stand_ins[policies[outcome]]
        for value, outcome in zip(values, outcomes, strict=True)
    ]


def check(
    entity: str, ids: Sequence[Any], outcomes: Mapping[str, Sequence[str]], policies: Mapping[str, str]
) -> None:
    """Raises FeaturesFailed if a policy says so; the words name entities and features, never values."""
    for outcome in (UNREACHABLE, MISSING, STALE):
        if policies[outcome] != "error":
            continue
        features = [feature for feature, each in outcomes.items() if outcome in each]
        if not features:
            continue
        if outcome == UNREACHABLE:
            raise FeaturesFailed("the feature store does not answer, and the policy on_unreachable is error")
        several = zip(ids, *(outcomes[feature] for feature in features), strict=True)
        named = [str(one) for one, *each in several if outcome in each]
        more = f" and {len(named) - FEW} more" if len(named) > FEW else ""
        raise FeaturesFailed(
            f"{', '.join(features)} {'are' if len(features) > 1 else 'is'} {outcome} for {entity} "
            f"{', '.join(named[:FEW])}{more}, and the policy on_{outcome} is error"
        )
