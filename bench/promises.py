"""Every row of the table of what the judge must reach, and the traffic on which it is measured.

5 candidate and 45 stable requests a second, samples of a second, alpha 1 %, beta 5 %, all four metrics merged
(errors, latency at its bounds, log-rank, predictions) where nothing else is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench import figures
from bench.figures import Measured
from bench.streams import (
    PREDICTION_SHARES,
    SPREAD,
    Errors,
    Traffic,
    candidate_second,
    failing,
    latency_shares,
    stable_second,
)
from bench.watching import Found, first_seen, first_seen_side_by_side
from releases.domain.judge import JudgeRules
from releases.domain.judge.factors import log_odds_factor
from releases.domain.judge.samples import Floats

ALPHA = 0.01
LOOKS = 3_600
PEER_SECONDS = 1_800
"""So long the peers' rules are watched where something is to be found."""
LATE = 150
ALONE = JudgeRules(compare_latency=False, compare_predictions=False)
BASE = 0.005
KL_RATES = (0.02, 0.03, 0.05)

Results = Mapping[str, Found]
Simulation = Callable[[int, Sequence[int]], dict[str, Found]]
"""Of so many replications with this seed: what was found, by name."""


@dataclass(frozen=True, slots=True)
class Row:
    """One promise. `bound` (in `unit`) may depend on the number of replications; None: measured, not
    promised. `measure` and `peers` (a text for each of their columns) are given what `simulation` found."""

    name: str
    quantity: str
    simulation: str
    unit: str
    bound: Callable[[int], float] | None
    measure: Callable[[Results], Measured]
    peers: Callable[[Results], tuple[str, str]]


def ramp(second: int) -> float:
    return (0.10, 0.25, 0.50, 0.75)[min(second * 4 // LOOKS, 3)]


def incident(second: int) -> float:
    """20 % errors for the last 30 s of each 10 minutes."""
    return 0.2 if second % 600 >= 570 else BASE


def late(second: int) -> float:
    return 0.05 if second >= LATE else BASE


def _shifted_predictions() -> Floats:
    """The candidate predicts higher: odds ratios of about 3 in the middle."""
    tilted = PREDICTION_SHARES * np.exp(0.25 * np.arange(len(PREDICTION_SHARES)))
    shifted: Floats = tilted / tilted.sum()
    return shifted


def _slower(only_tail: bool, spread: float = SPREAD) -> Traffic:
    return Traffic(
        stable_latency=latency_shares(spread=spread),
        candidate_latency=latency_shares(1.3, only_tail, spread),
    )


def _flat(replications: int, seed: Sequence[int]) -> dict[str, Found]:
    rates: dict[str, Errors] = {f"base {rate}": Errors(rate, rate) for rate in (0.001, 0.005, 0.01)}
    variants = {**rates, "incident": Errors(incident, incident)}
    return first_seen_side_by_side(Traffic(), variants, seconds=LOOKS, releases=replications, seed=seed)


def _ramp(replications: int, seed: Sequence[int]) -> dict[str, Found]:
    variants = {"ramp": Errors(BASE, BASE)}
    return first_seen_side_by_side(
        Traffic(weight=ramp), variants, seconds=LOOKS, releases=replications, seed=seed
    )


def _detection(
    name: str,
    traffic: Traffic,
    errors: Errors,
    peer_seconds: int = PEER_SECONDS,
    rules: JudgeRules | None = None,
) -> Simulation:
    def run(replications: int, seed: Sequence[int]) -> dict[str, Found]:
        found = first_seen(
            traffic,
            errors,
            seconds=LOOKS,
            releases=replications,
            seed=seed,
            rules=rules or JudgeRules(),
            peer_seconds=peer_seconds,
        )
        return {name: found}

    return run


SIMULATIONS: dict[str, Simulation] = {
    "flat": _flat,
    "ramp": _ramp,
    "errors-50": _detection("errors-50", Traffic(), Errors(BASE, 0.5)),
    "errors-5": _detection("errors-5", Traffic(), Errors(BASE, 0.05)),
    "errors-2": _detection("errors-2", Traffic(), Errors(BASE, 0.02)),
    "p95-all": _detection("p95-all", _slower(only_tail=False), Errors(BASE, BASE)),
    "p95-tail": _detection("p95-tail", _slower(only_tail=True), Errors(BASE, BASE)),
    "p95-all-wide": _detection("p95-all-wide", _slower(False, 0.8), Errors(BASE, BASE)),
    "p95-tail-wide": _detection("p95-tail-wide", _slower(True, 0.8), Errors(BASE, BASE)),
    "late": _detection("late", Traffic(), Errors(BASE, late)),
    "drift": _detection(
        "drift", replace(Traffic(), candidate_predictions=_shifted_predictions()), Errors(BASE, BASE)
    ),
    **{
        f"kl-{rate}": _detection(f"kl-{rate}", Traffic.of_errors(), Errors(BASE, rate), 0, ALONE)
        for rate in KL_RATES
    },
}


def kl_rate(candidate: float, seed: int = 7, seconds: int = 400_000) -> float:
    """Per second, the expected log-likelihood ratio of the true odds ratio given the margins."""
    rng, traffic = np.random.default_rng(seed), Traffic.of_errors()
    arms = stable_second(rng, traffic, 0, seconds), candidate_second(rng, traffic, 0, seconds)
    errors = failing(rng, arms[0], BASE), failing(rng, arms[1], candidate)
    truth = candidate / (1 - candidate) / (BASE / (1 - BASE))
    log_ratio = log_odds_factor(
        arms[0].requests, errors[0], arms[1].requests, errors[1], np.ones(seconds), np.array([truth])
    )
    return float(log_ratio.mean())


def _no_peers(results: Results) -> tuple[str, str]:
    return "", ""


def _false_rollback(name: str, quantity: str, simulation: str, of: str, errors: int = 3) -> Row:
    """At most alpha; `errors` standard errors of it are allowed."""

    def bound(replications: int) -> float:
        return 100 * (ALPHA + errors * math.sqrt(ALPHA * (1 - ALPHA) / replications))

    def peers(results: Results) -> tuple[str, str]:
        found = results[of]
        flagger, argo = (figures.share(np.isfinite(peer)).value for peer in (found.flagger, found.argo))
        return f"{100 * flagger:.1f} %", f"{100 * argo:.1f} %"

    return Row(name, quantity, simulation, "%", bound, lambda results: _percent(results[of], "harm"), peers)


def _detected(name: str, quantity: str, bound: float | None, since: int = 0) -> Row:
    """The median time until it is found, of those not found before `since`."""

    def delays(found: Floats) -> Floats:
        return found[found > since] - since

    def peer(found: Floats) -> str:
        after = delays(found)
        seen = np.isfinite(after).mean()
        if seen == 0:
            return "does not see it"
        within = f"{100 * seen:.2g} % in {PEER_SECONDS // 60} min"
        return f"{np.median(after):.0f} s" if seen > 0.5 else within

    return Row(
        name,
        quantity,
        name,
        "s",
        None if bound is None else lambda _: bound,
        lambda results: figures.median(delays(results[name].judge["harm"])),
        lambda results: (peer(results[name].flagger), peer(results[name].argo)),
    )


def _over_kl(rate: float) -> Row:
    name = f"kl-{rate}"

    def measure(results: Results) -> Measured:
        return figures.mean(results[name].judge["harm"], -np.log(ALPHA) / kl_rate(rate))

    quantity = f"mean detection of {100 * rate:g} % by errors alone, over log(1/alpha) / KL rate"
    return Row(name, quantity, name, "", lambda _: 1.6, measure, _no_peers)


def _percent(found: Found, look: str) -> Measured:
    seen = figures.share(np.isfinite(found.judge[look]))
    return Measured(100 * seen.value, 100 * seen.error, seen.replications)


FALSE = f"false rollback within {LOOKS:,} looks"
ROWS: tuple[Row, ...] = (
    _false_rollback("false-0.1", f"{FALSE}, base 0.1 %", "flat", "base 0.001"),
    _false_rollback("false-0.5", f"{FALSE}, base 0.5 %", "flat", "base 0.005"),
    _false_rollback("false-1", f"{FALSE}, base 1 %", "flat", "base 0.01"),
    _false_rollback("false-ramp", f"{FALSE}, base 0.5 %, ramp 10/25/50/75 %", "ramp", "ramp"),
    _detected("errors-50", "median detection, 50 % errors against 0.5 %", 3),
    _detected("errors-5", "5 % against 0.5 %", 33),
    _detected("errors-2", "2 % against 0.5 %", 150),
    _detected("p95-all", "p95 +30 %, whole distribution shifted", 30),
    _detected("p95-tail", "p95 +30 %, tail only", 100),
    _detected("late", f"5 % errors that begin at {LATE} s: delay", 45, since=LATE),
    *(_over_kl(rate) for rate in KL_RATES),
    Row(
        "certified",
        "certified below 1 % when the truth is 0.1 %: median",
        "flat",
        "s",
        lambda _: 100,
        lambda results: figures.median(results["base 0.001"].judge["certified"]),
        _no_peers,
    ),
    Row(
        "certified-wrongly",
        "certified below 1 % when the truth is 1 % (ever)",
        "flat",
        "%",
        lambda _: 5,
        lambda results: _percent(results["base 0.01"], "certified"),
        _no_peers,
    ),
    _false_rollback(
        "incident", "shared incident (20 % in both, 30 s every 10 min): false rollback", "flat", "incident", 0
    ),
    _detected("p95-all-wide", "p95 +30 %, all, where latencies spread wider (0.8)", None),
    _detected("p95-tail-wide", "p95 +30 %, tail only, where latencies spread wider (0.8)", None),
    _detected("drift", "predictions shifted by about a bin and a half", None),
)
