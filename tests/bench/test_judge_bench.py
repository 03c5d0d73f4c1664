"""The benchmark of the judge: its traffic is what it says, and its peers keep their own rules."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench import judge
from bench.figures import mean, median, share
from bench.peers import Argo, Flagger
from bench.streams import BOUNDS_MS, ArmSecond, Errors, Traffic, latency_shares
from bench.watching import first_seen


def second_of(requests, slow=0):
    """One second of one candidate; `slow` answers take more than 500 ms, the others 10 ms at most."""
    latency = np.zeros((1, len(BOUNDS_MS) + 1))
    latency[0, 0], latency[0, -1] = requests - slow, slow
    return ArmSecond(np.array([float(requests)]), latency, None)


def watched(peer, errors, seconds=1_800, arm=None):
    """When the peer rolls back; `errors` is told the second."""
    for second in range(seconds):
        peer.see(second, arm or second_of(100), np.array([float(errors(second))]))
    return peer.found[0]


@pytest.mark.parametrize("errors", [100, 5, 2])
def test_flagger_needs_eleven_minutes_whatever_the_error_rate(errors):
    assert watched(Flagger(1), lambda second: errors) == 660


def test_flagger_with_just_99_percent_success_does_not_roll_back():
    assert np.isinf(watched(Flagger(1), lambda second: 1))


def test_flagger_adds_up_failed_checks_and_never_resets_them():
    assert watched(Flagger(1), lambda second: 50 if second // 60 % 2 == 0 else 0) == 1_200


def test_flagger_without_traffic_rolls_back():
    assert watched(Flagger(1), lambda second: 0, arm=second_of(0)) == 660


def test_flagger_rolls_back_on_a_p99_above_500_ms():
    assert watched(Flagger(1), lambda second: 0, arm=second_of(100, slow=2)) == 660
    assert np.isinf(watched(Flagger(1), lambda second: 0, arm=second_of(100, slow=1)))


def test_argo_fails_on_the_fourth_failed_measurement():
    assert watched(Argo(1), lambda second: 6) == 1_200
    assert np.isinf(watched(Argo(1), lambda second: 5))


def test_latency_of_slower_answers_has_its_p95_where_it_says():
    """The share above 1.3 times a bound is what it was above the bound; in the tail alone, the rest stays."""
    usual, slower, tail = latency_shares(), latency_shares(1.3), latency_shares(1.3, only_tail=True)
    for shares in (usual, slower, tail):
        assert shares.sum() == pytest.approx(1)
        assert shares.min() >= 0
    above = [1 - np.cumsum(shares)[:-1] for shares in (usual, slower, tail)]
    assert (above[1] > above[0]).all()
    tenth = 60 * np.exp(1.2816 * 0.5)
    high, low = 1.3 * tenth <= BOUNDS_MS, tenth > BOUNDS_MS
    assert np.allclose(above[2][high], above[1][high])
    assert np.allclose(above[2][low], above[0][low])
    assert high.any()
    assert low.any()


def test_first_seen_does_not_depend_on_who_has_decided_already():
    """Releases that have decided leave the batch; the others go on as if they had not."""
    found = first_seen(Traffic(), Errors(0.005, 0.05), seconds=120, releases=30, seed=1, peer_seconds=700)
    first = found.judge["harm"]
    assert np.isfinite(first).sum() >= 25
    assert len(set(first)) > 5
    assert np.median(found.flagger) == 660


def test_figures_have_standard_errors():
    rng = np.random.default_rng(1)
    seen = share(np.arange(100) < 20)
    assert (seen.value, seen.error) == (0.2, pytest.approx(0.04))
    assert share(np.zeros(100, bool)).error > 0
    medians = [median(rng.exponential(size=400)) for _ in range(200)]
    spread = np.std([one.value for one in medians])
    assert np.mean([one.error for one in medians]) == pytest.approx(spread, rel=0.2)
    assert median(np.array([1.0, np.inf, np.inf])).value == np.inf
    assert mean(np.array([1.0, 3.0]), over=2.0).value == 1


def run(monkeypatch, tmp_path, *arguments):
    monkeypatch.setenv("BENCH_VAR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["judge", "--processes", "1", *arguments])
    code = judge.main()
    return code, json.loads((tmp_path / "bench" / "judge.json").read_text())


def test_bench_writes_rows_with_their_errors_and_ends_with_zero(monkeypatch, tmp_path, capsys):
    code, written = run(monkeypatch, tmp_path, "--replications", "20", "--rows", "errors-50,expectation")
    assert code == 0
    first = written["rows"][0]
    assert (first["row"], first["met"], first["n"]) == ("errors-50", "yes", 20)
    assert 1 <= first["value"] <= 3
    assert first["Flagger"] == "660 s"
    assert {row["met"] for row in written["rows"]} == {"yes"}
    assert written["seed"] == 20261123
    assert "50 % errors" in capsys.readouterr().out


def test_bench_with_a_row_that_is_not_met_ends_with_one(monkeypatch, tmp_path):
    impossible = next(row for row in judge.ROWS if row.name == "errors-50")
    monkeypatch.setattr(judge, "ROWS", (replace(impossible, bound=lambda _: 0.5),))
    code, written = run(monkeypatch, tmp_path, "--replications", "5", "--rows", "errors-50")
    assert (code, written["rows"][0]["met"]) == (1, "no")


def test_bench_of_an_unknown_row_says_which_there_are(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="no such row: nothing; there are false"):
        run(monkeypatch, tmp_path, "--rows", "nothing")
