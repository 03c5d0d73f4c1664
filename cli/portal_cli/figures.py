"""Numbers of a verdict in words, the same on a terminal, in a log and in Markdown. Pure."""

from portal_cli.documents import Counts, Release, Rule

PHASE_WORDS = {
    "succeeded": "stable",
    "awaiting_approval": "waits for approval",
}


def phase_in_words(phase: str) -> str:
    """ "rolling back"; what people call it where the API's word says less."""
    return PHASE_WORDS.get(phase, phase.replace("_", " "))


def percent(share: float) -> str:
    """ "0.31 %"."""
    return f"{100 * share:.2g} %" if share < 0.0995 else f"{100 * share:.3g} %"


def counts(arm: Counts | None) -> str:
    """ "2 of 640 = 0.31 %"."""
    if arm is None:
        return "–"  # noqa: RUF001 - a dash in an empty cell
    if arm.requests <= 0:
        return "no request"
    return f"{arm.errors:,} of {arm.requests:,} = {percent(arm.errors / arm.requests)}"


def rate(arm: Counts | None) -> str:
    """ "0.31 %": the share alone, where there is no room for the counts."""
    return counts(arm).rpartition("= ")[2]


def interval(rule: Rule) -> str:
    """ "0.04 to 1.1 %"."""
    if rule.interval is None:
        return "–"  # noqa: RUF001 - a dash in an empty cell
    low, high = rule.interval
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def evidence(rule: Rule) -> str:
    """ "0.4 of 100": what decides when it reaches its limit."""
    return f"{_short(rule.evidence)} of {_short(rule.limit)}"


def split(release: Release) -> str:
    """ "10 % on 1.4.0, 90 % on 1.3.2"."""
    share = max(0, min(100, release.candidate_share))
    if release.phase == "succeeded":
        return f"100 % on {release.version}"
    if not release.stable:
        return f"{share} % on {release.version}, the first version here"
    return f"{share} % on {release.version}, {100 - share} % on {release.stable}"


def verdict(release: Release) -> tuple[str, str]:
    """The kind in words and the sentence, which need not say the kind once more."""
    kind, said = release.verdict.kind.replace("_", " "), release.verdict.summary
    return ("", said) if said.lower().startswith(kind.lower()) else (kind, said)


def ending(release: Release, cause: str) -> str:
    """How it ended or where it stands, in a sentence that begins with what is released."""
    why = f": {cause}" if cause else ""
    said = {
        "succeeded": f"is stable in {release.environment}",
        "rolled_back": f"was rolled back in {release.environment}{why}",
        "rejected": f"was rejected for {release.environment}{why}",
        "cancelled": f"was cancelled for {release.environment}{why}",
    }
    here = f"is {phase_in_words(release.phase)} in {release.environment}"
    if release.waits_for_approval:
        here = f"waits for approval in {release.environment}"
    return f"{release.model} {release.version} {said.get(release.phase, here)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1_000 <= value < 1e6 else f"{value:.3g}"
