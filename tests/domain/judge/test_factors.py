"""Every factor keeps its expectation: by exact enumeration, not by chance."""

import numpy as np
import pytest

from bench.enumeration import BETTER, PRIMITIVES, WORSE, enumerated, expectations
from releases.domain.judge.factors import (
    EXACT_SUPPORT,
    ODDS_RATIOS,
    log_odds_closed,
    log_odds_exact,
    log_odds_factor,
)
from releases.domain.judge.state import HAZARD_RATIOS, LATENCY_RATIOS, PREDICTION_RATIOS


@pytest.mark.parametrize(("ratios", "margin"), WORSE + BETTER)
def test_exact_factor_at_the_margin_has_expectation_one(ratios, margin):
    assert np.allclose(expectations(log_odds_exact, ratios, margin, margin), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", [log_odds_exact, log_odds_closed])
@pytest.mark.parametrize(("ratios", "margin"), WORSE + BETTER)
@pytest.mark.parametrize("inside", [1.0, 0.8, 0.2])
def test_odds_factor_under_the_null_has_expectation_at_most_one(form, ratios, margin, inside):
    truth = margin * inside if ratios[0] > 1 else margin / inside
    assert expectations(form, ratios, margin, truth).max() <= 1 + 1e-12


def test_odds_factor_against_a_worse_candidate_grows():
    assert expectations(log_odds_exact, ODDS_RATIOS, 1.0, 3.0)[2].min() > 1
    assert expectations(log_odds_exact, HAZARD_RATIOS, 1.0, 0.5)[3].min() > 1


@pytest.mark.parametrize(("ratios", "margin"), WORSE + BETTER)
def test_closed_factor_is_below_the_exact_one_everywhere(ratios, margin):
    rows, _, _ = enumerated(12, 1.0)
    column = np.full(len(rows), margin)
    gap = log_odds_exact(*rows.T, column, ratios) - log_odds_closed(*rows.T, column, ratios)
    assert gap.min() >= -1e-12


@pytest.mark.parametrize("margin", [1.0, 1.25, 1.5])
def test_closed_factor_of_many_errors_keeps_most_of_the_exact_one(margin):
    """100 of 1,000 requests on the candidate, which is worse by odds of 1.7 beyond the margin."""
    odds = 0.3 / 0.7 * 1.7 * margin
    worse = round(100 * odds / (1 + odds))
    rows = [np.array([float(x)]) for x in (900, 100, 270 + worse, worse)]
    exact, closed = (
        form(*rows, np.array([margin]), LATENCY_RATIOS).max() for form in (log_odds_exact, log_odds_closed)
    )
    assert exact > 2
    assert closed > 0.85 * exact


def test_odds_factor_of_swapped_arms_and_inverted_odds_is_the_same():
    rows, _, _ = enumerated(10, 1.0)
    n_s, n_c, errors, e_c = rows.T
    ones = np.ones(len(rows))
    one_way = log_odds_factor(n_s, errors - e_c, n_c, e_c, 1.5 * ones, PREDICTION_RATIOS)
    other_way = log_odds_factor(n_c, e_c, n_s, errors - e_c, ones / 1.5, 1 / PREDICTION_RATIOS)
    assert np.allclose(one_way, other_way, rtol=0, atol=1e-12)


def test_odds_factor_that_no_float_can_hold_is_the_closed_form():
    """Margins so extreme that the sum would overflow; still an e-value."""
    n_s, n_c, errors, e_c = (np.array([float(x)]) for x in (63, 1e9, 63, 62))
    exact = log_odds_exact(n_s, n_c, errors, e_c, np.ones(1), ODDS_RATIOS)
    assert np.array_equal(exact, log_odds_closed(n_s, n_c, errors, e_c, np.ones(1), ODDS_RATIOS))
    assert np.isfinite(exact).all()


@pytest.mark.parametrize(
    ("stable", "candidate"),
    [((0, 0), (5, 5)), ((45, 3), (0, 0)), ((45, 0), (5, 0)), ((4, 4), (3, 3)), ((0, 0), (0, 0))],
)
def test_odds_factor_of_a_sample_that_says_nothing_is_one(stable, candidate):
    columns = [np.array([float(x)]) for x in (*stable, *candidate)]
    assert not log_odds_factor(*columns, np.ones(1), ODDS_RATIOS).any()


def test_odds_factor_with_many_errors_is_the_closed_form():
    few, many = EXACT_SUPPORT - 1.0, 4.0 * EXACT_SUPPORT
    n_s, e_s = np.array([1000.0, 1000.0]), np.array([0.0, many])
    n_c, e_c = np.array([100.0, 1000.0]), np.array([few, many])
    factor = log_odds_factor(n_s, e_s, n_c, e_c, np.ones(2), ODDS_RATIOS)
    arguments = n_s, n_c, e_s + e_c, e_c, np.ones(2), ODDS_RATIOS
    assert np.array_equal(factor[1], log_odds_closed(*arguments)[1])
    assert np.allclose(factor[0], log_odds_exact(*arguments)[0])
    assert (factor[0] > log_odds_closed(*arguments)[0]).all()


@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_factor_of_each_kind_under_its_null_has_expectation_at_most_one(primitive):
    assert 1 - 1e-3 <= PRIMITIVES[primitive]() <= 1 + 1e-12
