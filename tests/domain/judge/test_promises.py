"""What the judge promises on simulated traffic: 5 candidate and 45 stable requests a second, four metrics.

A small share of `make bench-judge` with its simulator and fixed seeds. The bounds are those of the
specification, plus three standard errors where a probability is estimated.
"""

from dataclasses import replace

import numpy as np
import pytest

from bench.promises import ALONE, incident, kl_rate, late
from bench.streams import (
    PREDICTION_SHARES,
    Errors,
    Traffic,
    candidate_second,
    failing,
    latency_shares,
    sample_of,
    stable_second,
)
from bench.watching import first_seen, first_seen_side_by_side, with_errors_of
from releases.domain.judge import JudgeRules, RuleBatch, decide, fold, initial_state, weigh
from tests.domain.judge.streams import batch, simulate

ALPHA = 0.01
BASE = 0.005
HEALTHY = Errors(BASE, BASE)


def at_most(bound, releases):
    return bound + 3 * np.sqrt(bound * (1 - bound) / releases)


def seconds_until_found(traffic, errors, releases=100, seconds=900, rules=JudgeRules()):  # noqa: B008 - frozen
    found = first_seen(traffic, errors, seconds=seconds, releases=releases, seed=[3, releases], rules=rules)
    return found.judge["harm"]


@pytest.fixture(scope="module")
def healthy():
    """100 releases at each of three error rates, and with incidents that both arms share."""
    variants = {str(rate): Errors(rate, rate) for rate in (0.001, 0.005, 0.01)}
    variants["incident"] = Errors(incident, incident)
    return first_seen_side_by_side(Traffic(), variants, seconds=605, releases=100, seed=1)


@pytest.mark.parametrize("variant", ["0.001", "0.005", "0.01", "incident"])
def test_healthy_candidate_is_rolled_back_in_at_most_one_release_of_a_hundred(healthy, variant):
    assert np.isfinite(healthy[variant].judge["harm"]).mean() <= at_most(ALPHA, 100)


def test_healthy_candidate_on_a_ramp_is_rolled_back_in_at_most_one_release_of_a_hundred():
    ramp = Traffic(weight=lambda second: (0.10, 0.25, 0.50, 0.75)[second // 100])
    found = seconds_until_found(ramp, HEALTHY, releases=100, seconds=400)
    assert np.isfinite(found).mean() <= at_most(ALPHA, 100)


def test_shared_incident_is_said(healthy):
    assert np.median(healthy["incident"].judge["shared_incident"]) <= 590


def test_good_candidate_is_certified_in_time(healthy):
    assert np.median(healthy["0.001"].judge["certified"]) <= 100


def test_candidate_at_its_limit_is_certified_in_at_most_one_release_of_twenty(healthy):
    assert np.isfinite(healthy["0.01"].judge["certified"]).mean() <= at_most(0.05, 100)


@pytest.mark.parametrize(("candidate", "bound"), [(0.5, 3), (0.05, 33), (0.02, 150)])
def test_errors_are_found_in_time(candidate, bound):
    assert np.median(seconds_until_found(Traffic(), Errors(BASE, candidate))) <= bound


@pytest.mark.parametrize(("only_tail", "bound"), [(False, 30), (True, 100)])
def test_slower_answers_are_found_in_time(only_tail, bound):
    slower = replace(Traffic(), candidate_latency=latency_shares(1.3, only_tail))
    assert np.median(seconds_until_found(slower, HEALTHY)) <= bound


def test_other_predictions_are_found():
    other = replace(Traffic(), candidate_predictions=PREDICTION_SHARES[::-1] ** 3 / sum(PREDICTION_SHARES**3))
    assert np.median(seconds_until_found(other, HEALTHY)) <= 60


def test_harm_that_begins_late_is_found_as_fast():
    found = seconds_until_found(Traffic(), Errors(BASE, late))
    assert np.median(found[found > 150]) - 150 <= 45


@pytest.mark.parametrize("candidate", [0.02, 0.05])
def test_harm_is_found_near_the_optimal_rate_by_errors_alone(candidate):
    found = seconds_until_found(Traffic.of_errors(), Errors(BASE, candidate), 1_000, rules=ALONE)
    measured = found.mean() / (-np.log(ALPHA) / kl_rate(candidate, seconds=100_000))
    assert measured <= 1.6 + 3 * found.std() / found.mean() * measured / np.sqrt(1_000)


def test_evidence_of_errors_folded_apart_is_that_of_everything_together():
    """The short cut of the benchmark's long rows."""
    rng, traffic, releases = np.random.default_rng(4), Traffic(), 20
    table = RuleBatch.of([JudgeRules()] * releases)
    blind = RuleBatch.of([JudgeRules(error_rate_max=None, compare_errors=False)] * releases)
    whole, errors, others = (initial_state(releases) for _ in range(3))
    for second in range(60):
        arms = [draw(rng, traffic, second, releases) for draw in (stable_second, candidate_second)]
        failed = [failing(rng, arm, rate) for arm, rate in zip(arms, (BASE, 0.1), strict=True)]
        bare = [replace(arm, latency=None, predictions=None) for arm in arms]
        whole = fold(table, whole, sample_of(*arms, *failed))
        errors = fold(table, errors, sample_of(*bare, *failed))
        others = fold(blind, others, sample_of(*arms, *np.zeros((2, releases))))
    together, apart = weigh(table, whole), with_errors_of(weigh(blind, others), weigh(table, errors))
    assert np.ptp(together.latency) > 0
    for name in ("harm", "parts", "limit", "certificate", "latency"):
        assert np.array_equal(getattr(together, name), getattr(apart, name))


def test_limit_alone_judges_a_first_release():
    releases, alone = 300, JudgeRules(has_stable=False)
    healthy = simulate(seconds=600, releases=releases, stable=0, candidate=0.01, weight=0.5, rules=alone)
    assert np.isfinite(healthy).mean() <= at_most(ALPHA, releases)
    broken = simulate(seconds=200, releases=200, stable=0, candidate=0.05, rules=alone)
    assert np.median(broken) <= 60


def test_missed_readings_do_not_cry_wolf():
    """Both arms fail for a second now and then, and just then the candidate cannot be read."""
    releases, rng = 400, np.random.default_rng(7)
    table, state = RuleBatch.of([JudgeRules()] * releases), initial_state(releases)
    waiting = np.zeros((4, releases))
    harm = np.zeros(releases, bool)
    for second in range(300):
        burst = second % 20 == 10
        p = 0.5 if burst else 0.005
        n_s, n_c = rng.poisson(45, releases), rng.poisson(5, releases)
        waiting += np.array([n_s, rng.binomial(n_s, p), n_c, rng.binomial(n_c, p)])
        sample = batch(waiting[:2], waiting[2:], present=(True, not burst))
        state = fold(table, state, sample)
        waiting[:2] = 0
        waiting[2:] *= burst
        harm |= decide(table, weigh(table, state), np.zeros(releases, bool)).harm
    assert harm.mean() <= at_most(ALPHA, releases)
