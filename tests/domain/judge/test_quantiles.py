"""Quantiles of histograms and their confidence sequences: they hold, they are monotone, they begin wide."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.judge.intervals import confidence_interval
from releases.domain.judge.quantiles import quantile, quantile_band

BOUNDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
HISTOGRAMS = st.lists(
    st.integers(min_value=0, max_value=2_000), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1
)


def row(counts):
    return np.array([counts], dtype=np.float64)


def test_quantile_is_linear_within_its_bucket():
    assert quantile(row([0, 10, 0, 0, 0, 0, 0]), BOUNDS, 0.5)[0] == 7.5
    assert quantile(row([50, 45, 5, 0, 0, 0, 0]), BOUNDS, 0.95)[0] == 10.0


def test_quantile_beyond_the_last_bound_is_that_bound():
    assert quantile(row([0, 0, 0, 0, 0, 0, 9]), BOUNDS, 0.5)[0] == 160.0


def test_quantile_of_nothing_is_not_a_number():
    assert math.isnan(quantile(np.zeros((1, 7)), BOUNDS, 0.95)[0])


def test_band_of_nothing_is_everything():
    low, high = quantile_band(np.zeros((1, 7)), BOUNDS, 0.95, 0.01)
    assert (low[0], high[0]) == (0.0, math.inf)


def test_band_of_much_is_the_bucket_of_the_quantile():
    low, high = quantile_band(1e5 * row([50, 30, 18, 1, 1, 0, 0]), BOUNDS, 0.95, 0.01)
    assert (low[0], high[0]) == (10.0, 20.0)


def test_band_beyond_the_last_bound_has_no_upper_edge():
    low, high = quantile_band(row([0, 0, 0, 0, 0, 0, 1_000]), BOUNDS, 0.95, 0.01)
    assert (low[0], high[0]) == (160.0, math.inf)


@pytest.mark.parametrize("share", [0.5, 0.95])
@given(HISTOGRAMS)
def test_band_is_what_the_confidence_sequences_of_the_bounds_say(share, counts):
    low, high = quantile_band(row(counts), BOUNDS, share, 0.01)
    total, below = float(sum(counts)), np.cumsum(counts)[:-1].astype(np.float64)
    size = np.full(len(BOUNDS), total)
    lows, highs = confidence_interval(size, below, np.full(len(BOUNDS), math.log(2 / 0.01)))
    assert high[0] == next((b for b, end in zip(BOUNDS, lows, strict=True) if end > share), math.inf)
    assert low[0] == max((b for b, end in zip(BOUNDS, highs, strict=True) if end < share), default=0.0)


@given(HISTOGRAMS)
def test_quantile_never_leaves_its_band_and_higher_shares_lie_higher(counts):
    values, bands = [], []
    for share in (0.5, 0.95, 0.99):
        value = quantile(row(counts), BOUNDS, share)[0]
        low, high = (edge[0] for edge in quantile_band(row(counts), BOUNDS, share, 0.01))
        assert math.isnan(value) or low <= value <= high
        values.append(value)
        bands.append((low, high))
    assert math.isnan(values[0]) or values == sorted(values)
    assert [low for low, _ in bands] == sorted(low for low, _ in bands)
    assert [high for _, high in bands] == sorted(high for _, high in bands)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_band_holds_the_true_quantile_at_every_look(share):
    # The true quantile stands a hair above a bound, where the upper edge is most easily too low.
    chance, paths, looks, alpha = np.random.default_rng(11), 300, 120, 0.05
    below = {0.5: 0.49, 0.95: 0.945}[share]
    masses = [0.2 * below, 0.3 * below, 0.5 * below, *(np.array([0.6, 0.2, 0.15, 0.05]) * (1 - below))]
    truth = 20.0 * 1.001  # above the bound 20, of which `below` < share are within
    counts = chance.multinomial(8, masses, size=(paths, looks)).cumsum(axis=1).astype(np.float64)
    low, high = quantile_band(counts.reshape(paths * looks, -1), BOUNDS, share, alpha)
    missed = ((truth <= low) | (truth > high)).reshape(paths, looks).any(axis=1)
    assert missed.mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / paths)
    assert np.isfinite(high.reshape(paths, looks)[:, -1]).all()
