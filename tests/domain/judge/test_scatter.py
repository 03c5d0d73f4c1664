"""Bursts: evidence is divided by what stable's own figures show, and by nothing else."""

import numpy as np
import pytest

from releases.domain.judge import JudgeRules, RuleBatch, fold, initial_state, weigh
from releases.domain.judge import state as slots
from releases.domain.judge.scatter import LARGEST, dispersion
from tests.domain.judge.streams import batch

RELEASES = 200
RULES = JudgeRules(error_rate_max=None, compare_latency=False, compare_predictions=False)


def run(errors_of, *, learns=True, seconds=300):
    """Many releases whose arms fail alike, and how many of them were rolled back; `errors_of(rng,
    requests)` draws an arm's errors."""
    rng = np.random.default_rng(8)
    rules, state = RuleBatch.of([RULES] * RELEASES), initial_state(RELEASES)
    highest = np.zeros(RELEASES)
    for _ in range(seconds):
        n_s, n_c = rng.poisson(45, RELEASES), rng.poisson(45, RELEASES)
        state = fold(rules, state, batch((n_s, errors_of(rng, n_s)), (n_c, errors_of(rng, n_c))))
        if not learns:
            state[:, slots.SCATTER_ERRORS] = 0.0
        highest = np.maximum(highest, weigh(rules, state).harm)
    return state, float((highest >= np.log(100)).mean())


def independent(rng, requests):
    return rng.binomial(requests, 0.05)


def in_bursts(rng, requests):
    """Beta-binomial, 5 % on average: at 45 requests the variance is three times that of independent ones."""
    return rng.binomial(requests, rng.beta(1.05, 19.95, len(requests)))


def test_independent_errors_are_hardly_ever_taken_for_bursts():
    state, rolled_back = run(independent)
    assert (dispersion(state, slots.SCATTER_ERRORS) > 1.2).mean() < 0.02
    assert rolled_back <= 0.03


def test_bursts_are_learned_as_it_goes():
    state, rolled_back = run(in_bursts)
    assert np.median(dispersion(state, slots.SCATTER_ERRORS)) > 2
    undivided = run(in_bursts, learns=False)[1]
    assert undivided > 0.4
    assert rolled_back < 0.5 * undivided


def test_a_rate_that_moves_slowly_for_both_is_no_burst():
    second = iter(range(10_000))

    def wave(rng, requests):
        return rng.binomial(requests, 0.05 + 0.045 * np.sin(next(second) / 60))

    state, _ = run(wave, seconds=200)
    assert np.median(dispersion(state, slots.SCATTER_ERRORS)) < 1.2


def test_dispersion_is_one_before_anything_is_known_and_bounded_after():
    assert dispersion(initial_state(2), slots.SCATTER_LATENCY).tolist() == [1, 1]
    state = initial_state(1)
    state[0, slots.SCATTER_ERRORS] = (0, 0, 0, 1e9, 100, 10)
    assert dispersion(state, slots.SCATTER_ERRORS)[0] == LARGEST


@pytest.mark.parametrize("phi", [1.0, 2.5, 10.0])
def test_factor_to_the_power_of_one_over_phi_keeps_its_expectation(phi):
    """Jensen: E[B ** (1/phi)] <= E[B] ** (1/phi) <= 1, here for two coins at the null."""
    chances, factors = np.array([0.25, 0.5, 0.25]), np.array([0.1, 0.6, 2.7])
    assert chances @ factors <= 1
    assert chances @ factors ** (1 / phi) <= 1
