"""What the terminal shows: plain lines where there is no terminal, a picture where there is one."""

from io import StringIO
from typing import Any

from rich.console import Console, Group

from mlops_portal.demo.display import Pace, Teller, evidence_bar, release_lines, split_bar

RELEASE: dict[str, Any] = {
    "model": "wine",
    "version": "1.1.0",
    "environment": "production",
    "phase": "canary",
    "reason": "step 1 of 2: 30 % for 10 s",
    "split": {"stable": 70, "candidate": 30},
    "stable": "1.0.0",
    "candidate": "1.1.0",
    "plan": {"alpha": 0.01, "beta": 0.05},
    "verdict": {
        "kind": "inconclusive",
        "summary": "no harm seen",
        "harm_evidence": 10.0,
        "certificate_evidence": None,
    },
}


def test_teller_without_a_terminal_writes_plain_lines() -> None:
    stream = StringIO()
    with Teller(stream) as teller:
        teller.chapter("[1.1.0] better")
        teller.phase(RELEASE, "rolling_back", "harm: 31 % errors [of 16]")

    text = stream.getvalue()
    assert "\x1b" not in text
    assert "[1.1.0] better\n" in text
    assert "production 1.1.0  rolling back: harm: 31 % errors [of 16]\n" in text


def test_picture_shows_phase_split_evidence_and_verdict() -> None:
    console = Console(file=StringIO(), width=120)
    console.print(Group(*release_lines(RELEASE)))

    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("canary: step 1 of 2", "70 % 1.0.0, 30 % 1.1.0", "10 of 100", "inconclusive: no harm seen"):
        assert part in text
    assert "certainty" not in text  # there is no limit to be certain of


def test_evidence_bar_is_logarithmic_and_never_longer_than_its_limit() -> None:
    assert [evidence_bar("harm", value, 100.0, "red").plain.count("█") for value in (0.2, 10.0, 1e9)] == [
        0,
        20,
        40,
    ]


def test_split_bar_gives_the_first_version_everything() -> None:
    first = RELEASE | {"stable": None, "split": {"stable": 0, "candidate": 100}}
    assert "no stable version, 100 % 1.1.0" in split_bar(first).plain


def test_pace_counts_the_last_seconds_only() -> None:
    moments = iter([0.0, 1.0, 2.0, 10.0, 11.0])
    pace = Pace(lambda: next(moments))
    assert [pace.of(total) for total in (0, 50, 100, 1000, 1020)] == [0.0, 50.0, 50.0, 0.0, 20.0]
