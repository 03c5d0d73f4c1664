"""What both arms predicted: the share of each bin with its confidence sequence.

Made for a drawing without script: the page writes it as a list with small bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge import PREDICTIONS_VS_STABLE
from releases.domain.judge.bins import FEWEST_PREDICTIONS, PredictionBins
from releases.domain.judge.intervals import confidence_interval
from releases.domain.verdict import ArmCounts, Interval, RuleState, Verdict
from releases.models import Release
from releases.services.queries.samples import Floats, Series


@dataclass(frozen=True, slots=True)
class BinShares:
    """One bin: how many of each arm's predictions are in it. An arm that predicted nothing has None."""

    name: str
    stable: ArmCounts | None
    candidate: ArmCounts | None
    stable_interval: Interval | None
    candidate_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Predictions:
    """All bins that hold anything; or, without any, `why`. `top`: the end of the common axis."""

    bins: Sequence[BinShares] = ()
    why: str = ""
    top: float = 1.0
    stable: int = 0
    candidate: int = 0


def predictions_of(release: Release, series: Series, verdict: Verdict | None) -> Predictions:
    """Shares since the split began."""
    names = PredictionBins.from_json(release.prediction_bins).names if release.prediction_bins else ()
    stable, candidate = (
        arm.predictions if len(arm.predictions) == len(names) else np.zeros(len(names))
        for arm in (series.stable, series.candidate)
    )
    if not stable.sum() + candidate.sum():
        return Predictions(why=_why(release, verdict))
    log_limit = -float(np.log(release.rollout_plan().alpha))
    arms = _shares(stable, log_limit), _shares(candidate, log_limit)
    bins = [
        BinShares(name, of_stable[0], of_candidate[0], of_stable[1], of_candidate[1])
        for name, of_stable, of_candidate in zip(names, *arms, strict=True)
        if any(counts and counts.errors for counts in (of_stable[0], of_candidate[0]))
    ]
    shares = [counts.rate or 0.0 for one in bins for counts in (one.stable, one.candidate) if counts]
    ends = [
        interval[1] for one in bins for interval in (one.stable_interval, one.candidate_interval) if interval
    ]
    top = min(1.0, max(1.05 * max(shares), min(max(ends), 1.6 * max(shares))))
    return Predictions(tuple(bins), "", top, int(stable.sum()), int(candidate.sum()))


def _shares(counts: Floats, log_limit: float) -> list[tuple[ArmCounts | None, Interval | None]]:
    total = counts.sum()
    if not total:
        return [(None, None)] * len(counts)
    low, high = confidence_interval(np.full(len(counts), total), counts, np.full(len(counts), log_limit))
    return [
        (ArmCounts(int(total), int(count)), (float(of_low), float(of_high)))
        for count, of_low, of_high in zip(counts, low, high, strict=True)
    ]


def _why(release: Release, verdict: Verdict | None) -> str:
    """Why there is nothing to show."""
    rules = {rule.rule: rule for rule in verdict.rules} if verdict else {}
    rule = rules.get(PREDICTIONS_VS_STABLE)
    if release.stable_id is None:
        return "There is no stable version to compare predictions with."
    if not release.rollout_plan().rules.compare_predictions:
        return "The plan does not compare predictions with stable's."
    if rule is None or rule.state is not RuleState.OFF:
        return "No prediction has been counted yet."
    return (
        f"No predictions are counted. They are sorted into bins once stable's server has counted "
        f"{FEWEST_PREDICTIONS} of its own."
    )
