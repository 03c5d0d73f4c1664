"""Stable against itself: independent requests scatter as they should, bursts do not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releases.domain.judge import Increments
from releases.domain.judge.selftest import FEWEST_PAIRS, self_test, self_tests

BOUNDS = (5.0, 10.0, 20.0, 50.0, 100.0)
SHARES = (0.3, 0.35, 0.2, 0.11, 0.03, 0.01)


def stable(rng, rate=lambda second: 0.01, requests=480.0, samples=60, shares=lambda: SHARES):
    """Ten-second samples of independent requests; `rate` is the probability of an error at a second."""
    rows = []
    for number in range(samples):
        count = int(rng.poisson(requests))
        latency = tuple(int(x) for x in rng.multinomial(count, shares()))
        rows.append(sample(count, int(rng.binomial(count, rate(10 * number))), latency))
    return rows


def sample(requests, errors=0, latency=None):
    return Increments(10.0, requests, errors, latency, BOUNDS if latency else ())


def beta_binomial(rng, mean, correlation, requests=480):
    """Errors of a sample share a rate of their own."""
    a, b = mean * (1 / correlation - 1), (1 - mean) * (1 / correlation - 1)
    return [sample(requests, int(rng.binomial(requests, rng.beta(a, b)))) for _ in range(60)]


def bad_seconds(rng, share, requests=48):
    """Whole seconds in which everything fails."""
    return [sample(10 * requests, requests * int(rng.binomial(10, share))) for _ in range(60)]


def test_self_test_of_independent_requests_gives_about_one_and_rarely_warns():
    rng = np.random.default_rng(1)
    tests = self_tests([stable(rng) for _ in range(200)])
    assert np.mean([test.phi_errors for test in tests]) == pytest.approx(1, abs=0.05)
    assert np.mean([test.phi_latency for test in tests]) == pytest.approx(1, abs=0.05)
    assert sum(test.warns for test in tests) <= 5
    assert sum(test.evidence >= 100 for test in tests) <= 5


def test_self_test_of_rates_that_drift_for_all_does_not_warn():
    rng = np.random.default_rng(2)
    tests = self_tests([stable(rng, lambda second: 0.002 + 0.08 * second / 600) for _ in range(100)])
    assert sum(test.warns for test in tests) <= 2
    assert np.mean([test.phi_errors for test in tests]) == pytest.approx(1, abs=0.1)


def test_self_test_of_errors_with_a_rate_of_their_own_per_sample_warns():
    rng = np.random.default_rng(3)
    tests = self_tests([beta_binomial(rng, 0.02, 0.01) for _ in range(50)])
    assert sum(test.warns for test in tests) >= 48
    assert np.mean([test.phi_errors for test in tests]) > 4


def test_self_test_of_seconds_in_which_everything_fails_warns():
    rng = np.random.default_rng(4)
    tests = self_tests([bad_seconds(rng, 0.05) for _ in range(50)])
    assert sum(test.warns for test in tests) >= 48
    # No single second decides, but the judge would begin to doubt.
    assert np.median([test.evidence for test in tests]) > 10


def test_self_test_of_slow_seconds_warns_of_latency_alone():
    rng = np.random.default_rng(5)
    slow = (0.1, 0.2, 0.2, 0.2, 0.2, 0.1)
    test = self_test(stable(rng, shares=lambda: slow if rng.random() < 0.3 else SHARES))
    assert test.warns
    assert test.phi_errors < 1.8
    assert test.sentence.startswith("stable's slow answers come in bursts (dispersion ")
    assert test.sentence.endswith(
        "harm is then found later, and a certificate says less; a margin above 1 is advisable"
    )


def test_self_test_with_one_incident_that_ends_rarely_warns_and_says_so():
    rng = np.random.default_rng(6)
    tests = self_tests([stable(rng, lambda second: 0.2 if 210 <= second < 240 else 0.005) for _ in range(50)])
    assert sum(test.warns for test in tests) <= 8
    calm = next(test for test in tests if not test.warns)
    assert "one incident apart" in calm.sentence
    assert calm.phi_errors > 2


def test_self_test_without_samples_says_what_is_missing():
    test = self_test([])
    assert (test.pairs, test.phi_errors, test.phi_latency, test.warns) == (0, None, None, False)
    assert test.sentence == "too little traffic yet to test stable against itself: 0 of 20 pairs of samples"


def test_self_test_with_too_few_pairs_does_not_warn_whatever_they_hold():
    test = self_test(bad_seconds(np.random.default_rng(7), 0.3)[: 2 * FEWEST_PAIRS - 1])
    assert (test.pairs, test.phi_errors, test.warns) == (FEWEST_PAIRS - 1, None, False)


def test_self_test_without_errors_or_latencies_says_that_it_cannot_tell():
    test = self_test([sample(480)] * 60)
    assert test.phi_errors is None
    assert not test.warns
    assert "errors in 0 of 30 pairs of samples, too few to tell" in test.sentence


def test_self_test_sentence_of_a_calm_stable_names_the_dispersion():
    test = self_test(stable(np.random.default_rng(8)))
    assert test.sentence == (
        f"stable against itself: its errors scatter as independent requests do (dispersion "
        f"{test.phi_errors:.2f} over 30 pairs); its slow answers scatter as independent requests do "
        f"(dispersion {test.phi_latency:.2f} over 30 pairs)"
    )


def test_self_test_dispersion_of_two_errors_against_none_is_two_by_hand():
    # E = 2 of N = 200 in equal halves: (2 - 1)^2 / (100 100 2 198 / (200^2 199)) = 1.99...
    test = self_test([sample(100, 2), sample(100, 0)] * FEWEST_PAIRS)
    assert test.phi_errors == pytest.approx(200**2 * 199 / (100 * 100 * 2 * 198))


counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=15)
@given(st.lists(counts, min_size=0, max_size=60), st.integers(0, 2**32 - 1))
def test_self_test_dispersion_does_not_depend_on_the_coin(rows, seed):
    samples = [sample(requests, errors) for requests, errors in rows]
    one, other = self_test(samples, seed), self_test(samples, seed + 1)
    assert (one.phi_errors, one.warns, one.sentence) == (other.phi_errors, other.warns, other.sentence)
    assert one.evidence >= 1


@settings(max_examples=15)
@given(st.lists(counts, min_size=40, max_size=60))
def test_self_test_is_the_same_when_the_halves_of_each_pair_are_swapped(rows):
    samples = [sample(requests, errors) for requests, errors in rows]
    samples = samples[: len(samples) // 2 * 2]
    swapped = [half for pair in zip(samples[1::2], samples[::2], strict=True) for half in pair]
    one, other = self_test(samples), self_test(swapped)
    assert one.phi_errors == (None if other.phi_errors is None else pytest.approx(other.phi_errors))
    assert one.pairs == other.pairs


def test_self_tests_of_many_are_those_of_each_alone():
    rng = np.random.default_rng(9)
    stables = [stable(rng), [], bad_seconds(rng, 0.1)[:17], stable(rng, requests=5.0, samples=43)]
    together, alone = self_tests(stables), [self_test(samples) for samples in stables]
    assert [replace(test, evidence=0) for test in together] == [replace(test, evidence=0) for test in alone]
    assert [test.evidence for test in together] == pytest.approx([test.evidence for test in alone])
