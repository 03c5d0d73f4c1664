"""The pure core: goals, stories, texts, summaries; for whatever a portal may say."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from portal_cli import goals, summary
from portal_cli.documents import ENDED, PHASES, Check, Release, Transition
from portal_cli.errors import NotReachable
from portal_cli.log_display import LogDisplay
from portal_cli.plain import markdown, plain
from portal_cli.story import HEARTBEAT_SECONDS, Line, Story, tell_history, tell_release

NASTY = st.one_of(
    st.text(),
    st.sampled_from(
        [
            "\x1b[2J\x1b[31mred\x07",
            "a\r\nb\n\n# title\n\x85c\u2028d",
            "[bold]x[/bold] :fire:",
            "| a | b |\n|--|--|",
            "</td><script>alert(1)</script><!-- ",
            "[click](https://evil.example) https://evil.example ![x](y)",
            "::set-output name=x::1",
            "x ##[add-mask]secret",
            "\u202eevil\u2066 \ud800 \x00 \x9b31m",
            "`a` **b** ~~c~~ \\| $x$ @everyone",
        ]
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=5,
)
RULE = {
    "rule": NASTY,
    "state": NASTY,
    "evidence": st.floats() | st.integers(),
    "limit": st.floats() | st.just(100.0),
    "stable": st.none() | st.fixed_dictionaries({"requests": st.integers(), "errors": st.integers()}),
    "candidate": st.none() | st.fixed_dictionaries({"requests": st.integers(), "errors": st.integers()}),
    "interval": st.none() | st.lists(st.floats(), max_size=3),
    "counted": NASTY,
    "explanation": NASTY,
}
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "model": NASTY,
    "version": NASTY,
    "environment": NASTY,
    "reason": NASTY,
    "row_version": st.integers(0, 50) | JSON,
    "step": JSON,
    "stable": st.none() | NASTY,
    "split": st.fixed_dictionaries({"stable": JSON, "candidate": st.integers(-5, 200) | JSON}) | JSON,
    "digest": st.none() | NASTY,
    "plan": st.fixed_dictionaries(
        {"steps": st.lists(st.dictionaries(st.sampled_from(["weight", "hold_seconds"]), JSON), max_size=3)}
    )
    | JSON,
    "approvals": st.fixed_dictionaries({"required": st.integers(0, 3), "given": st.integers(0, 3)}) | JSON,
    "verdict": st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["none", "certified", "harm"]) | NASTY,
            "summary": NASTY,
            "rules": st.lists(st.fixed_dictionaries({}, optional=RULE), max_size=3),
        }
    )
    | JSON,
    "forecast": JSON,
    "_links": st.fixed_dictionaries({"page": NASTY | st.just("https://portal.example/a(b)|c>d")}) | JSON,
}
DOCUMENTS = st.fixed_dictionaries({"id": NASTY, "phase": st.sampled_from(PHASES) | NASTY}, optional=MEMBERS)
GOALS = [goals.promoted, goals.on_candidate, goals.canary_passed, goals.smoke_tested, goals.withdrawn]


def document(**changes: Any) -> dict[str, Any]:
    """A release in its canary."""
    return {
        "id": "01JD8M3Q2N9V5T7X4B6C1A0ZEH",
        "model": "wine",
        "version": "1.4.0",
        "environment": "production",
        "phase": "canary",
        "reason": "step 1 of 1: 10 % for 300 s",
        "row_version": 7,
        "stable": "1.3.2",
        "split": {"stable": 90, "candidate": 10},
        "verdict": {"kind": "none", "summary": "nothing has been sampled yet", "rules": []},
        **changes,
    }


def is_harmless(text: str) -> bool:
    """One line without anything that a terminal or a runner obeys."""
    controls = any(unicodedata.category(character).startswith("C") for character in text)
    return not controls and "##[" not in text and not text.startswith("::")


# ---- goals -----------------------------------------------------------------------------------------
@given(DOCUMENTS)
def test_goal_of_any_document_is_decided_once_the_release_has_ended(told: dict[str, Any]) -> None:
    release = Release.read(told)
    for goal in GOALS:
        assert goal(release) in (True, False, None)
        if release.phase in ENDED:
            assert goal(release) is not None
    if release.phase in ENDED:
        assert goals.promoted(release) is (release.phase == "succeeded")
        assert goals.withdrawn(release) is not goals.promoted(release)


@pytest.mark.parametrize(
    ("phase", "promoted", "on_candidate", "passed", "smoke", "withdrawn"),
    [
        ("validating", None, None, None, None, None),
        ("awaiting_approval", None, None, None, None, None),
        ("smoke_testing", None, None, None, None, None),
        ("canary", None, True, None, True, None),
        ("paused", None, True, None, True, None),
        ("promoting", None, True, True, True, None),
        ("rolling_back", None, None, None, True, None),
        ("succeeded", True, True, True, True, False),
        ("rolled_back", False, False, False, True, True),
        ("rejected", False, False, False, True, True),
        ("cancelled", False, False, False, True, True),
        ("teleporting", None, None, None, True, None),
    ],
)
def test_goal_in_each_phase(
    phase: str,
    promoted: bool | None,
    on_candidate: bool | None,
    passed: bool | None,
    smoke: bool | None,
    withdrawn: bool | None,
) -> None:
    release = Release.read(document(phase=phase))
    assert [goal(release) for goal in GOALS] == [promoted, on_candidate, passed, smoke, withdrawn]


def test_goal_of_a_shadow_is_not_on_the_candidate_yet() -> None:
    release = Release.read(document(split={"stable": 100, "candidate": 0}))
    assert goals.on_candidate(release) is None


def test_goal_canary_that_waits_for_an_approval_has_passed() -> None:
    reason = "step 1 of 1: 10 % for 300 s; hold is over, waits for approval: 0 of 1 approvals"
    waiting = document(reason=reason, approvals={"required": 1, "given": 0})
    assert goals.canary_passed(Release.read(waiting)) is True
    assert goals.canary_passed(Release.read(document(approvals={"required": 1, "given": 0}))) is None


@given(JSON)
def test_release_of_any_json_is_read_or_refused(value: object) -> None:
    try:
        release = Release.read(value)
    except NotReachable:
        return
    assert is_harmless(release.reason)


# ---- stories ---------------------------------------------------------------------------------------
def told(count: int) -> list[Transition]:
    return [
        Transition(n, "03:07:12", PHASES[n % len(PHASES)], f"line {n}", "portal") for n in range(1, count + 1)
    ]


@given(st.data())
def test_story_tells_each_change_once_whatever_arrives_how_often(data: st.DataObject) -> None:
    whole = told(data.draw(st.integers(1, 20)))
    story, said = Story(Release.read(document())), []
    lengths = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    for length in lengths:  # an old answer after a newer one, the same twice, pages in any order
        answer = data.draw(st.permutations(whole[:length]))
        story, lines = tell_history(story, answer + answer[: length // 2], 1.0)
        said += lines
    assert [line.text for line in said] == [line.reason for line in whole[: max(lengths, default=0)]]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(PHASES)), max_size=20))
def test_story_never_goes_back_to_an_older_document(answers: list[tuple[int, str]]) -> None:
    story = Story(Release.read(document(row_version=0)))
    newest = 0
    for row_version, phase in answers:
        story, _ = tell_release(story, Release.read(document(row_version=row_version, phase=phase)), 0, "")
        newest = max(newest, row_version)
        assert story.release.row_version == newest


def test_story_verdict_that_changes_is_a_line_and_one_that_stays_is_none() -> None:
    said: list[Line] = []
    story = Story(Release.read(document()))
    for kind in ("none", "inconclusive", "inconclusive", "certified", "certified", "inconclusive"):
        verdict = {"kind": kind, "summary": f"it is {kind}", "rules": []}
        story, lines = tell_release(story, Release.read(document(verdict=verdict)), 0, "03:00:00")
        said += lines
    assert [line.text.partition(":")[0] for line in said] == ["inconclusive", "certified", "inconclusive"]


def test_story_gives_a_sign_of_life_once_a_minute_and_not_after_the_end() -> None:
    story, said = Story(Release.read(document())), []
    for second in range(0, 301, 10):
        story, lines = tell_release(story, Release.read(document()), second, "03:00:00")
        said += [second for _ in lines]
    assert said == [60, 120, 180, 240, 300]
    ended = Release.read(document(phase="succeeded"))
    assert tell_release(story, ended, 300 + 2 * HEARTBEAT_SECONDS, "")[1] == []


def test_story_knows_why_it_went_back_although_the_last_line_does_not_say() -> None:
    story = Story(Release.read(document()))
    history = [
        Transition(1, "", "canary", "step 1", "portal"),
        Transition(2, "", "rolling_back", "6.2 % errors", "portal"),
        Transition(3, "", "rolled_back", "all traffic on stable", "portal"),
    ]
    assert tell_history(story, history, 0)[0].cause == "6.2 % errors"


# ---- texts -----------------------------------------------------------------------------------------
@given(NASTY)
def test_plain_is_one_harmless_line_and_stays_what_it_is(text: str) -> None:
    line = plain(text)
    assert is_harmless(line)
    assert plain(line) == line
    assert len(plain(text, 20)) <= 20


def test_plain_keeps_what_people_write() -> None:
    said = "0.31 % Fehler – größer als 1 %; 模型 ✓ [draft] (a|b)"  # noqa: RUF001 - a dash in prose
    assert plain(said) == said


@given(DOCUMENTS, st.lists(NASTY, max_size=3))
def test_log_lines_of_any_document_are_harmless(document: dict[str, Any], reasons: list[str]) -> None:
    written: list[str] = []

    class Stream:
        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            pass

    display, release = LogDisplay(Stream()), Release.read(document)  # type: ignore[arg-type]
    display.begin(release)
    entries = [
        {"sequence": n, "at": text, "to_phase": text, "reason": text} for n, text in enumerate(reasons)
    ]
    story, lines = tell_history(Story(release), map(Transition.read, entries), 0)
    for line in [*lines, *tell_release(story, release, 100, "03:00:00")[1]]:
        display.line(line)
    display.checks([Check.read({"name": text, "outcome": text}) for text in reasons])
    for text in written:
        assert text.endswith("\n")
        assert is_harmless(text[:-1])


# ---- the summary -----------------------------------------------------------------------------------
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@given(NASTY)
def test_markdown_text_is_read_as_that_text(text: str) -> None:
    [_, inline, _] = READER.parse(f"x{markdown(text)}y")
    assert "".join(token.content for token in inline.children or []) == f"x{plain(text)}y"


@given(DOCUMENTS, st.lists(NASTY, min_size=1, max_size=3))
def test_summary_of_any_document_has_the_shape_it_was_given(
    document: dict[str, Any], reasons: list[str]
) -> None:
    release = Release.read(document)
    history = [Transition(n, plain(text), plain(text), plain(text), "") for n, text in enumerate(reasons)]
    checks = [Check.read({"name": text, "reason": text}) for text in reasons]
    text = summary.of_release(release, reasons[0], reached=True, history=history, checks=checks)
    tokens = READER.parse(text)
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert html == ["<details><summary>History (UTC)</summary>", "</details>"]
    links = [
        child.attrGet("href")
        for token in tokens
        for child in token.children or []
        if child.type in ("link_open", "image", "html_inline")
    ]
    assert len(links) <= 1
    assert sum(token.type == "heading_open" for token in tokens) == 1
    tables = 3 + (release.verdict.kind != "none" and bool(release.verdict.shown_rules))
    assert sum(token.type == "table_open" for token in tokens) == tables
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
