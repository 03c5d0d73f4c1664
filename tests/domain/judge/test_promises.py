"""What the judge promises, on simulated traffic: 5 candidate and 45 stable requests a second.

Replications are few and seeds fixed: the bounds are those of the specification, plus three standard
errors where a probability is estimated. Only errors are judged, so no other test shares the weight.
"""

import time

import numpy as np
import pytest

from releases.domain.judge import (
    Freshness,
    JudgeRules,
    RuleBatch,
    decide,
    fold,
    initial_state,
    judge,
    weigh,
)
from tests.domain.judge.streams import batch, simulate

ALPHA = 0.01


def at_most(bound, releases):
    return bound + 3 * np.sqrt(bound * (1 - bound) / releases)


def ramp(second):
    return (0.10, 0.25, 0.50, 0.75)[min(second // 200, 3)]


@pytest.mark.parametrize(("base", "weight"), [(0.001, 0.1), (0.005, 0.1), (0.01, 0.1), (0.005, ramp)])
def test_healthy_candidate_is_rolled_back_in_at_most_one_release_of_a_hundred(base, weight):
    releases = 600
    found = simulate(seconds=800, releases=releases, stable=base, candidate=base, weight=weight)
    assert np.isfinite(found).mean() <= at_most(ALPHA, releases)


def test_false_rollback_bound_is_not_met_by_silence():
    """The same simulation does find a candidate that is slightly worse."""
    found = simulate(seconds=1000, releases=200, stable=0.005, candidate=0.015)
    assert np.isfinite(found).mean() > 0.9


@pytest.mark.parametrize(
    ("stable", "candidate", "bound"), [(0.005, 0.5, 3), (0.005, 0.05, 33), (0.005, 0.02, 150)]
)
def test_harm_is_found_in_time(stable, candidate, bound):
    found = simulate(seconds=900, releases=300, stable=stable, candidate=candidate)
    assert np.median(found) <= bound


def test_harm_that_begins_late_is_found_as_fast():
    found = simulate(
        seconds=400,
        releases=300,
        stable=0.005,
        candidate=lambda second: 0.05 if second >= 150 else 0.005,
    )
    assert np.median(found[found > 150]) - 150 <= 45


@pytest.mark.parametrize("candidate", [0.02, 0.05])
def test_harm_is_found_near_the_optimal_rate(candidate):
    """log(1/alpha) over the expected log-likelihood ratio per second, given the margins."""
    stable, share, requests = 0.005, 0.1, 50
    found = simulate(seconds=2000, releases=300, stable=stable, candidate=candidate)
    errors = requests * (share * candidate + (1 - share) * stable)
    of_candidate = requests * share * candidate / errors
    kl = errors * (
        of_candidate * np.log(of_candidate / share)
        + (1 - of_candidate) * np.log((1 - of_candidate) / (1 - share))
    )
    assert found.mean() <= 1.6 * -np.log(ALPHA) / kl


def test_good_candidate_is_certified_in_time():
    found = simulate(
        seconds=600,
        releases=300,
        stable=0.001,
        candidate=0.001,
        look=lambda decisions: decisions.certified,
    )
    assert np.median(found) <= 100


def test_candidate_at_its_limit_is_certified_in_at_most_one_release_of_twenty():
    releases = 600
    found = simulate(
        seconds=1200,
        releases=releases,
        stable=0.01,
        candidate=0.01,
        look=lambda decisions: decisions.certified,
    )
    assert np.isfinite(found).mean() <= at_most(0.05, releases)


def test_limit_alone_judges_a_first_release():
    releases, alone = 400, JudgeRules(has_stable=False)
    healthy = simulate(seconds=1000, releases=releases, stable=0, candidate=0.01, weight=0.5, rules=alone)
    assert np.isfinite(healthy).mean() <= at_most(ALPHA, releases)
    broken = simulate(seconds=200, releases=200, stable=0, candidate=0.05, rules=alone)
    assert np.median(broken) <= 60


def incident(second):
    return 0.2 if second % 600 >= 570 else 0.005


def test_shared_incident_is_said_and_does_not_roll_back():
    """20 % errors in both arms, 30 s every 10 minutes."""
    releases = 400
    stream = {"seconds": 1250, "releases": releases, "stable": incident, "candidate": incident}
    assert np.isfinite(simulate(**stream)).mean() <= at_most(ALPHA, releases)
    told = simulate(**stream, look=lambda decisions: decisions.shared_incident)
    assert np.median(told) <= 590


def test_missed_readings_do_not_cry_wolf():
    """Both arms fail for a second now and then, and just then the candidate cannot be read."""
    releases, rng = 600, np.random.default_rng(7)
    table, state = RuleBatch.of([JudgeRules()] * releases), initial_state(releases)
    waiting = np.zeros((4, releases))
    harm = np.zeros(releases, bool)
    for second in range(400):
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


def test_a_thousand_releases_are_judged_in_a_quarter_of_a_second():
    releases, rng = 1000, np.random.default_rng(5)
    table, state = RuleBatch.of([JudgeRules()] * releases), initial_state(releases)
    spent = []
    for _ in range(3):
        n_s, n_c = rng.poisson(45, releases), rng.poisson(5, releases)
        sample = batch((n_s, rng.binomial(n_s, 0.1)), (n_c, rng.binomial(n_c, 0.2)))
        begun = time.process_time()
        state = fold(table, state, sample)
        judge(table, state, [Freshness()] * releases)
        spent.append(time.process_time() - begun)
    assert min(spent) <= 0.25
