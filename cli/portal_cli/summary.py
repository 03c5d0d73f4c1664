"""A release as Markdown, for the summary of a job. Every text of the portal is escaped. Pure."""

from collections.abc import Sequence

from portal_cli import figures
from portal_cli.documents import Check, Release, Rule, Transition
from portal_cli.plain import markdown, plain

_MARKS = {True: "✅", False: "❌", None: "⏳"}
LONGEST_HISTORY = 40


def of_release(
    release: Release,
    sentence: str,
    *,
    reached: bool | None,
    history: Sequence[Transition] = (),
    checks: Sequence[Check] = (),
) -> str:
    """The whole section. `reached` None: it is still running."""
    facts = [
        ("Phase", figures.phase_in_words(release.phase)),
        ("Traffic", figures.split(release)),
        ("Plan", release.plan_in_words),
        ("Digest", release.digest),
        ("Filed by", release.requested_by),
    ]
    parts = [f"### {_MARKS[reached]} {markdown(sentence)}", ""]
    parts += _table(("", ""), [(name, value) for name, value in facts if value])
    if release.verdict.kind != "none":
        said = ": ".join(filter(None, figures.verdict(release)))
        parts += ["", f"**Verdict:** {markdown(said)}", ""]
        if rules := release.verdict.shown_rules:
            head = ("Rule", "State", "Candidate", "Stable", "Interval", "Evidence")
            parts += _table(head, [_rule(rule) for rule in rules])
    if checks:
        rows = [(check.stage, check.name, check.outcome, check.reason) for check in checks]
        parts += ["", *_table(("Stage", "Check", "Outcome", "Why"), rows)]
    if history:
        rows_of_history = [(line.at, line.phase.replace("_", " "), line.reason) for line in history]
        parts += ["", "<details><summary>History (UTC)</summary>", ""]
        parts += [*_table(("When", "Phase", "Why"), rows_of_history[-LONGEST_HISTORY:]), "", "</details>"]
    if link := _link(release.page):
        parts += ["", link]
    return "\n".join(parts) + "\n\n"


def of_error(sentence: str) -> str:
    """A section for what could not be done."""
    return f"### ❌ {markdown(sentence)}\n\n"


def _rule(rule: Rule) -> tuple[str, ...]:
    name = rule.name if rule.counted == "errors" else f"{rule.name} ({rule.counted})"
    arms = (figures.counts(rule.candidate), figures.counts(rule.stable))
    return (name, rule.state.replace("_", " "), *arms, figures.interval(rule), figures.evidence(rule))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return lines + [f"| {' | '.join(markdown(cell) or ' ' for cell in row)} |" for row in rows]


def _link(page: str) -> str:
    """A link, if the address is one that can stand between the brackets."""
    address = plain(page)
    if not address.startswith(("https://", "http://")) or any(sign in address for sign in "<>\\ "):
        return ""
    return f"[Open the release in the portal](<{address}>)"
