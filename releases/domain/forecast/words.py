"""A forecast in words, for a tired person. Must not decide anything."""

from __future__ import annotations

from collections.abc import Sequence

from releases.domain.forecast.answer import (
    PROPOSED_SHARE,
    Forecast,
    ForecastKind,
    Regression,
    Spread,
    Traffic,
)
from releases.domain.judge.explanation import duration, percent, percent_limit, sentence
from releases.domain.plan import RolloutPlan

NO_STABLE = (
    "there is no stable version yet: it goes to 100 % after the smoke test, watched against its limits"
)
NO_STEPS = "the plan has no steps: it goes to 100 % after the smoke test, without a canary"
NO_TRAFFIC = "no request reaches the endpoint now: a canary learns nothing without traffic and would wait"
UNKNOWN = "the present traffic is not known, so how long this takes cannot be said"


_HEADLINES = {
    ForecastKind.TOO_LITTLE_TRAFFIC: "too little to decide",
    ForecastKind.HOPELESS: "no certificate",
    ForecastKind.NO_CANARY: "no canary",
    ForecastKind.NO_TRAFFIC: "no traffic",
    ForecastKind.UNKNOWN: "not known yet",
}


def headline(forecast: Forecast) -> str:
    """The answer in three words."""
    seconds = forecast.expected_seconds
    return _HEADLINES.get(forecast.kind) or f"about {duration(seconds or 0.0)}"


def rate(requests_per_second: float) -> str:
    """ "50 requests/s", "0.5 requests/s" """
    number = requests_per_second
    return f"{number:,.0f} requests/s" if number >= 10 else f"{number:.2g} requests/s"


def goal(plan: RolloutPlan, *, slow: bool) -> str:
    """What is to be proven."""
    limit, slowest = plan.rules.error_rate_max, plan.rules.latency_p95_max_ms
    parts = [f"below {percent_limit(limit)} errors"] if limit is not None else []
    parts += [f"p95 below {slowest:g} ms"] if slow and slowest is not None else []
    return " and ".join(parts)


def certifies(whole: float, proof: float, where: str, aim: str, condition: str) -> str:
    """How long it takes; the holds are told when they last longer than the proof."""
    told = ", and the holds last longer" if whole > proof else ""
    certain = f"certain {aim} after about {duration(proof)} {where} {condition}"
    return f"this needs about {duration(whole)}: {certain}{told}"


def too_late(window: float, proof: float, where: str, aim: str, condition: str) -> str:
    return (
        f"this cannot be decided in the plan's {duration(window)}: "
        f"certain {aim} only after about {duration(proof)} {where} {condition}"
    )


def certain_in(spread: Spread, where: str, aim: str, window: float) -> str:
    """For a release that runs: the middle, and the range where it is known."""
    median = spread.median or 0.0
    ends = "" if spread.low is None or spread.high is None else _range(spread.low, spread.high)
    late = f", but the plan waits only {duration(window)} more" if median > window else ""
    return f"certain {aim} in about {duration(median)} {where}{ends}{late}"


def _range(low: float, high: float) -> str:
    return f" (8 of 10 times in {duration(low)} to {duration(high)})"


def holds_left(holds: float) -> str:
    return f"ends with its holds in {duration(holds)}" if holds > 0 else "the holds are over"


def from_now(regressions: Sequence[Regression]) -> str:
    """One regression that begins now, in words."""
    found = next((each for each in regressions if each.seconds is not None), None)
    if found is None or found.seconds is None:
        return ""
    errors, after = percent_limit(found.error_rate), duration(found.seconds)
    return f"{errors} errors from now on would be seen in about {after}"


def holds_only(holds: float) -> str:
    return f"this needs {duration(holds)}: the plan ends with its holds and asks for no certificate"


def hopeless(plan: RolloutPlan, traffic: Traffic, *, by_errors: bool, arm: str = "stable itself") -> str:
    """No traffic helps: the limit has to be another one."""
    if by_errors:
        limit = percent_limit(plan.rules.error_rate_max or 0.0)
        fails = f"{arm} fails {percent(traffic.error_rate)}, the limit is {limit}"
    else:
        slow = percent(traffic.slow_share or 0.0)
        most = f"{plan.rules.latency_p95_max_ms:g} ms"
        fails = f"{arm} answers {slow} slower than {most}, the limit leaves 5 %"
    remedy = "a higher limit could be certified, or promote when no harm was seen"
    return sentence(f"{fails}: no amount of traffic certifies", remedy)


def needs_traffic(requests_per_second: float) -> str:
    """When neither a weight nor time helps."""
    return f"no weight and no hold helps below {rate(requests_per_second)}"


def seen(regressions: Sequence[Regression]) -> str:
    """One regression in words: the smallest that is seen in the plan's time."""
    found = next((each for each in regressions if each.seconds is not None), None)
    if found is not None and found.seconds is not None:
        after = duration(found.seconds)
        return f"a candidate with {percent_limit(found.error_rate)} errors would be seen after about {after}"
    worst = max((each.error_rate for each in regressions), default=None)
    return "" if worst is None else f"not even {percent_limit(worst)} errors would be seen in the plan's time"


def as_rarely(error_rate: float) -> str:
    return f"if the candidate fails as rarely as stable ({percent(error_rate)})"


def slow_unknown(plan: RolloutPlan) -> str:
    limit = f"{plan.rules.latency_p95_max_ms:g} ms"
    return f"when p95 is proven below {limit} cannot be said: no latencies are known"


def heavier(seconds: float) -> str:
    return f"certain within {duration(seconds)}, {_OFTEN}"


def longer(instead: float) -> str:
    return f"certain by then, {_OFTEN}, instead of undecided after {duration(instead)}"


_OFTEN = f"{10 * PROPOSED_SHARE:.0f} of 10 times"
