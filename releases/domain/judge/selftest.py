"""The A/A self-test: stable against itself, before anything is rolled out.

The judge takes requests as independent given the interval. Where errors or slow answers come in bursts, it
divides its evidence of harm by what it sees of them (`scatter`), which takes time and is never all of it; it
is better to know that before a release. Samples of stable are taken in adjacent pairs, so that a load or a
base rate that drifts for all does not count; a coin says which of the two plays the candidate. Pearson's
dispersion over the pairs::

    phi = sum (e_1 - E n_1/N)^2 / sum n_1 n_2 E (N - E) / (N^2 (N - 1)),   N = n_1 + n_2, E = e_1 + e_2

is about 1 for independent requests (the hypergeometric variance given N and E), whoever plays the candidate;
McCullagh & Nelder, Generalized Linear Models (1989), section 4.5. A warning also needs support: phi beyond
what chance gives, and not by one incident alone, for that hits all arms alike. Pure; must not know where the
samples come from, nor that there are releases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from releases.domain.judge.counters import Increments
from releases.domain.judge.evidence import fold, weigh
from releases.domain.judge.rules import JudgeRules, RuleBatch
from releases.domain.judge.samples import Floats, Sample, SampleBatch
from releases.domain.judge.state import initial_state

WARN_ABOVE = 1.2
"""A dispersion that is worth a warning."""
FEWEST_PAIRS = 20
"""So many pairs of samples with requests in both make a test."""
FEWEST_INFORMATIVE = 8
"""Fewer pairs with some events, but not nothing else, give no dispersion."""
CHANCE = 0.005
"""Independent requests go beyond it so often: with 30 pairs a dispersion of 1.8, with 8 one of 2.7."""
INCIDENT_PAIRS = 2
"""What begins and ends once, for all, falls into so many pairs; a warning has to stand without them."""
CENTRAL_MASSES = (0.5, 0.05)
"""Latency is tested at the bounds with about these shares of the requests above them."""
HIGHEST_EVIDENCE = 1e12
"""More is not told apart: a number that every JSON carries as it is."""

Pair = tuple[Increments, Increments]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What stable against itself gave.

    `pairs`: pairs of samples with requests in both. A dispersion is None where too few of them are
    informative; `phi_latency` is that of the slower half of the answers, or of the slowest where these come
    in bursts. `evidence`: the highest evidence of harm (an e-value) that the judge had for one half of stable
    against the other.
    """

    pairs: int
    phi_errors: float | None
    phi_latency: float | None
    evidence: float
    warns: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class _Scatter:
    """The dispersion `phi` of one quantity over `pairs` informative pairs, how far chance takes that of
    independent requests, and the mean over the pairs that no incident has hit, all of the same weight."""

    what: str
    pairs: int
    phi: float
    chance: float
    without_incident: float

    @property
    def is_beyond_chance(self) -> bool:
        return self.phi > max(WARN_ABOVE, self.chance)

    @property
    def is_in_bursts(self) -> bool:
        return self.is_beyond_chance and self.without_incident > WARN_ABOVE


def self_test(samples: Sequence[Increments], seed: int = 1) -> SelfTest:
    """Test stable's samples, oldest first, against each other; `seed` is the coin's."""
    return self_tests([samples], seed)[0]


def self_tests(stables: Sequence[Sequence[Increments]], seed: int = 1) -> list[SelfTest]:
    """Test many, each by itself: the judge takes about as long for twenty as for one."""
    paired = [_pairs(samples) for samples in stables]
    evidence = _highest_evidence(paired, seed)
    return [_result(pairs, highest) for pairs, highest in zip(paired, evidence, strict=True)]


def _pairs(samples: Sequence[Increments]) -> list[Pair]:
    neighbours = zip(samples[::2], samples[1::2], strict=False)
    return [(first, second) for first, second in neighbours if first.requests and second.requests]


def _result(pairs: Sequence[Pair], evidence: float) -> SelfTest:
    errors = _scatter("errors", *_events(pairs))
    slow = [_scatter("slow answers", *_slower(pairs, bound)) for bound in _central_bounds(pairs)]
    known = [found for found in slow if found]
    latency = next((found for found in known if found.is_in_bursts), known[0] if known else None)
    found = [scatter for scatter in (errors, latency) if scatter]
    return SelfTest(
        pairs=len(pairs),
        phi_errors=errors.phi if errors else None,
        phi_latency=latency.phi if latency else None,
        evidence=evidence,
        warns=any(scatter.is_in_bursts for scatter in found),
        sentence=_sentence(pairs, found),
    )


def _scatter(what: str, requests: Floats, events: Floats) -> _Scatter | None:
    """The dispersion of events among requests, both (pairs, 2)."""
    both, happened = requests.sum(axis=1), events.sum(axis=1)
    informative = (requests > 0).all(axis=1) & (happened > 0) & (happened < both)
    count = int(informative.sum())
    if len(requests) < FEWEST_PAIRS or count < FEWEST_INFORMATIVE:
        return None
    requests, events = requests[informative], events[informative]
    both, happened = both[informative], happened[informative]
    expected = happened * requests[:, 0] / both
    variance = requests[:, 0] * requests[:, 1] * happened * (both - happened) / (both**2 * (both - 1))
    squares = (events[:, 0] - expected) ** 2
    # Pairs with many events weigh more: (sum v)^2 / sum v^2 is how many equal ones they are worth.
    worth = variance.sum() ** 2 / (variance**2).sum()
    return _Scatter(
        what=what,
        pairs=count,
        phi=float(squares.sum() / variance.sum()),
        chance=float(chdtri(worth, CHANCE) / worth),
        without_incident=float(np.sort(squares / variance)[:-INCIDENT_PAIRS].mean()),
    )


def _events(pairs: Sequence[Pair]) -> tuple[Floats, Floats]:
    requests = [[half.requests for half in pair] for pair in pairs]
    errors = [[half.errors for half in pair] for pair in pairs]
    return _table(requests), _table(errors)


def _slower(pairs: Sequence[Pair], bound: float) -> tuple[Floats, Floats]:
    """Answers with a latency, and those above the bound; pairs without that bound are left out."""
    told = [pair for pair in pairs if all(half.latency_ms and bound in half.bounds_ms for half in pair)]
    answers = [[sum(half.latency_ms or ()) for half in pair] for pair in told]
    above = [
        [sum((half.latency_ms or ())[half.bounds_ms.index(bound) + 1 :]) for half in pair] for pair in told
    ]
    return _table(answers), _table(above)


def _table(rows: Sequence[Sequence[int]]) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


def _central_bounds(pairs: Sequence[Pair]) -> list[float]:
    """The bounds of the newest histogram with about half and about 5 % of all answers above them."""
    halves = [half for pair in pairs for half in pair if half.latency_ms]
    if not halves:
        return []
    bounds = halves[-1].bounds_ms
    alike = [half.latency_ms for half in halves if half.bounds_ms == bounds]
    counts = np.sum(np.array(alike, dtype=np.float64), axis=0)
    if counts.sum() == 0:
        return []
    above = 1 - np.cumsum(counts)[:-1] / counts.sum()
    nearest = {int(np.argmin(np.abs(above - mass))) for mass in CENTRAL_MASSES} if len(above) else set()
    return [bounds[index] for index in sorted(nearest)]


def _highest_evidence(paired: Sequence[Sequence[Pair]], seed: int) -> list[float]:
    """What the judge itself thinks of one half of each stable against the other, at its highest."""
    rules = RuleBatch.of([JudgeRules(error_rate_max=None, compare_predictions=False)] * len(paired))
    looks = max(map(len, paired), default=0)
    coins = np.random.default_rng(seed).integers(2, size=looks)
    state, highest = initial_state(len(paired)), np.zeros(len(paired))
    for look, coin in enumerate(coins):
        halves = [_halves(pairs[look], coin) if look < len(pairs) else NO_SAMPLE for pairs in paired]
        state = fold(rules, state, SampleBatch.of(halves))
        highest = np.maximum(highest, weigh(rules, state).harm)
    return [math.exp(min(log, math.log(HIGHEST_EVIDENCE))) for log in highest]


def _halves(pair: Pair, coin: int) -> Sample:
    seconds = sum(half.seconds for half in pair) / 2
    return Sample(seconds, stable=pair[1 - coin], candidate=pair[coin])


NO_SAMPLE = Sample(0.0, stable=None, candidate=None)


def _sentence(pairs: Sequence[Pair], found: Sequence[_Scatter]) -> str:
    if len(pairs) < FEWEST_PAIRS:
        seen = f"{len(pairs)} of {FEWEST_PAIRS} pairs of samples"
        return f"too little traffic yet to test stable against itself: {seen}"
    bursts = [scatter for scatter in found if scatter.is_in_bursts]
    if bursts:
        what = " and ".join(f"{scatter.what} come in bursts ({_figures(scatter)})" for scatter in bursts)
        slower = "harm is then found later, and a certificate says less"
        return f"stable's {what}: {slower}; a margin above 1 is advisable"
    if not found:
        failing = sum(1 for pair in pairs if any(half.errors for half in pair))
        return (
            f"stable against itself: errors in {failing} of {len(pairs)} pairs of samples, "
            "too few to tell whether they come in bursts"
        )
    return "stable against itself: " + "; ".join(_calm(scatter) for scatter in found)


def _calm(scatter: _Scatter) -> str:
    text = f"its {scatter.what} scatter as independent requests do ({_figures(scatter)})"
    return f"{text}, one incident apart" if scatter.is_beyond_chance else text


def _figures(scatter: _Scatter) -> str:
    within = ", within chance" if WARN_ABOVE < scatter.phi <= scatter.chance else ""
    return f"dispersion {scatter.phi:.2f} over {scatter.pairs} pairs{within}"
