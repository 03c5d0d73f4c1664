"""The time until the certificate: what the formula says, and what then happens."""

import numpy as np
import pytest

from releases.domain.judge import JudgeRules, fold, judge, seconds_to_certificate, weigh
from releases.domain.judge import state as slots
from releases.domain.judge.factors import log_certificate_factor
from releases.domain.judge.restart import log_mean_exp
from releases.domain.judge.samples import Freshness
from tests.domain.judge.streams import batch, judged

LOG_CERTIFY = np.log([20.0])


def forecast(rate, *, traffic=5.0, limit=0.01, have=0.0, phi=1.0):
    certificates = np.full((1, 6), have)
    answer = seconds_to_certificate(
        certificates, np.array([traffic]), np.array([rate]), np.array([limit]), LOG_CERTIFY, np.array([phi])
    )
    return float(answer[0])


def test_forecast_of_a_flawless_candidate_is_the_time_until_the_mean_reaches_its_limit():
    seconds = forecast(0.0)
    shares = np.array([0.02, 0.1, 0.2, 0.35, 0.5, 0.7])
    reached = np.mean(np.exp(5 * seconds * (np.log1p(-0.01 * shares) - np.log(0.99))))
    assert reached == pytest.approx(20, rel=0.01)


def test_forecast_with_more_errors_is_longer_and_with_more_traffic_shorter():
    assert forecast(0.0) <= forecast(0.001) < forecast(0.002) < forecast(0.005) < forecast(0.007)
    assert forecast(0.002, traffic=50) == pytest.approx(forecast(0.002) / 10, rel=0.01)


@pytest.mark.parametrize(("rate", "off"), [(0.001, 0.1), (0.002, 0.1), (0.004, 0.15), (0.005, 0.1)])
def test_forecast_is_near_the_median_of_what_happens(rate, off):
    rng = np.random.default_rng(5)
    requests = np.cumsum(rng.poisson(5, (400, 1500)), axis=1).astype(float)
    errors = np.cumsum(rng.binomial(np.diff(requests, axis=1, prepend=0).astype(int), rate), axis=1)
    factor = log_certificate_factor(
        requests.ravel(), errors.ravel().astype(float), np.full(requests.size, 0.01)
    )
    certified = (log_mean_exp(factor) >= LOG_CERTIFY[0]).reshape(requests.shape)
    median = np.median(np.where(certified.any(axis=1), certified.argmax(axis=1) + 1, np.inf))
    assert (1 - off) * median <= forecast(rate) <= (1 + off) * median


def test_forecast_where_stable_comes_in_bursts_takes_as_much_longer():
    assert forecast(0.0, phi=2.5) == pytest.approx(2.5 * forecast(0.0), rel=1e-3)


@pytest.mark.parametrize(("rate", "traffic"), [(0.01, 5), (0.5, 5), (0.0, 0)])
def test_forecast_of_what_never_comes_is_not_given(rate, traffic):
    assert np.isnan(forecast(rate, traffic=traffic))


def test_forecast_of_a_certificate_in_hand_is_now():
    assert forecast(0.5, have=5.0) == 0


def test_forecast_of_a_running_release_comes_true():
    table, state = judged([batch((45, 0), (5, 0))] * 20)
    promised = judge(table, state, [Freshness()])[0].seconds_to_certificate
    for _ in range(int(np.ceil(promised)) - 1):
        state = fold(table, state, batch((45, 0), (5, 0)))
    assert weigh(table, state).certificate[0] < LOG_CERTIFY[0]
    state = fold(table, state, batch((45, 0), (5, 0)))
    assert weigh(table, state).certificate[0] >= LOG_CERTIFY[0]


def test_forecast_of_few_requests_or_many_errors_is_left_out():
    few = judge(*judged([batch((45, 0), (5, 0))] * 2), [Freshness()])[0]
    assert few.seconds_to_certificate is None
    many = judge(*judged([batch((45, 1), (50, 1))] * 4), [Freshness()])[0]
    assert many.seconds_to_certificate is None
    assert "cannot become certain below 1 %" in many.summary


def test_present_traffic_follows_a_changed_split():
    rules = JudgeRules()
    stream = [batch((45, 0), (5, 0))] * 60 + [batch((25, 0), (25, 0))] * 120
    _, state = judged(stream, rules)
    traffic = state[0, slots.RECENT_CANDIDATE] / state[0, slots.RECENT_SECONDS]
    assert traffic == pytest.approx(25, rel=0.03)
