"""How an ending is shown: to programs in the documented shape, to people in words."""

from releases.domain.judge import JudgeRules
from releases.domain.replay import page, read_recording, replay, to_json
from tests.domain.replay.recordings import steady


def test_json_has_the_documented_shape() -> None:
    (ending,) = replay([JudgeRules()], [list(read_recording(steady(60, failing=0.4)))])
    assert ending is not None
    content = to_json(ending)
    assert list(content) == ["kind", "at", "rules", "samples"]
    assert (content["kind"], content["at"]) == ("harm", content["samples"])
    errors, *_, slow = content["rules"]
    assert list(errors) == ["rule", "state", "evidence", "limit", "interval", "explanation"]
    assert (errors["rule"], errors["state"], errors["limit"]) == ("errors_vs_stable", "harm", 100)
    assert errors["evidence"] >= 100
    assert 0 < errors["interval"][0] < 0.4 < errors["interval"][1] < 1
    assert "interval" not in slow


def test_page_says_first_what_was_decided_and_last_what_drove_it() -> None:
    (ending,) = replay([JudgeRules()], [list(read_recording(steady(60, failing=0.12)))])
    assert ending is not None
    lines = page(ending).splitlines()
    assert lines[0] == f"HARM at {ending.samples} s, after {ending.samples} samples"
    assert lines[1].startswith("Harm: ")
    assert lines[-1] == "Driven by: limit on the error rate."
    assert max(map(len, lines)) <= 96
    for rule in ending.verdict.rules:
        assert rule.explanation[1:30] in page(ending)


def test_page_of_an_open_end_says_that_nothing_was_decided() -> None:
    (ending,) = replay([JudgeRules()], [list(read_recording(steady(1)))])
    assert ending is not None
    assert page(ending).startswith("INCONCLUSIVE after 1 sample: nothing was decided\n")
    assert "Driven by" not in page(ending)
