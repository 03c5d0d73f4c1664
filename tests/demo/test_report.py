"""The last line and the exit code depend on this: what was claimed, and whether it came true."""

import re

from mlops_portal.demo.report import Report
from mlops_portal.demo.traffic import Tally

# Scripts rely on this form.
PROMISED = r"demo: promoted 1\.1\.0 in \d+ s, rolled back 2\.0\.0 in \d+ s, requests \d+ failed \d+"


def report(tally: Tally | None = None) -> Report:
    return Report(promoted_seconds=41.2, rolled_back_seconds=22.6, tally=tally or Tally())


def test_last_line_has_the_promised_form() -> None:
    tally = Tally(requests={"1.0.0": 9000, "2.0.0": 120}, failed={"2.0.0": 37})

    line = report(tally).last_line()

    assert line == "demo: promoted 1.1.0 in 41 s, rolled back 2.0.0 in 23 s, requests 9120 failed 37"
    assert re.fullmatch(PROMISED, line)


def test_last_line_of_a_story_that_did_not_come_true_says_so() -> None:
    assert Report().last_line() == "demo: not promoted 1.1.0, not rolled back 2.0.0, requests 0 failed 0"


def test_slower_candidate_has_a_line_of_its_own() -> None:
    told = report()
    assert told.slower_line() == "slower candidate: not rolled back 1.2.0"
    told.slower_seconds = 19.9
    assert told.slower_line() == "slower candidate: rolled back 1.2.0 in 20 s"


def test_failures_are_told_apart() -> None:
    tally = Tally(requests={}, failed={"2.0.0": 37, "1.1.0": 2, "the gateway": 1})

    assert report(tally).failures_by_version() == (
        "failed requests: 37 answered by the candidate 2.0.0, 3 by a stable version or by nobody"
    )


def test_came_true_needs_every_expectation() -> None:
    told = report()
    assert not told.came_true  # nothing was claimed yet

    told.expect("the first", True)
    assert told.came_true

    told.expect("the second", False)
    assert not told.came_true
    assert told.failed_expectations == ["the second"]
