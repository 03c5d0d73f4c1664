"""The judge's sentences: made of counts, rates, intervals and what evidence means.

Written for a tired person. An interval is never explained by the evidence nor the evidence by the
interval: they are two accounts of the same counts. Must not decide anything.
"""

from __future__ import annotations

import math

from releases.domain.judge.samples import Freshness, Reading
from releases.domain.verdict import ArmCounts, Interval


def percent(share: float) -> str:
    """0.0031 -> "0.31 %", 0.0507 -> "5.1 %", 0.203 -> "20 %"."""
    value = 100 * share
    if value == 0 or value >= 99.5:
        return "0 %" if value == 0 else f"{value:.4g} %"
    if value < 0.001:
        return "<0.001 %"
    if value < 1:
        digits = 1 - math.floor(math.log10(value))
        return f"{value:.{digits}f}".rstrip("0").rstrip(".") + " %"
    return f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def percent_limit(limit: float) -> str:
    """A limit as somebody wrote it: 0.01 -> "1 %"."""
    return f"{100 * limit:.6g} %"


def duration(seconds: float) -> str:
    """ "95 s", "12 min", "3.5 h": rounded as coarsely as a forecast deserves."""
    if seconds < 120:
        return f"{max(1, 5 * math.ceil(seconds / 5) if seconds > 10 else math.ceil(seconds))} s"
    if seconds < 7200:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def whole(number: float) -> str:
    """2317.4 -> "2,300": two digits that count."""
    if number >= 1e6:
        return "a million" if number < 2e6 else "more than a million"
    step = 10 ** max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{math.floor(number / step) * step:,.0f}"


def counts(arm: ArmCounts) -> str:
    """ "0.31 % errors in 640 requests" """
    requests = f"{arm.requests:,} request{'' if arm.requests == 1 else 's'}"
    return f"{percent(arm.rate or 0.0)} errors in {requests}"


def arm(name: str, of: ArmCounts, interval: Interval | None) -> str:
    """ "candidate: 31 errors in 612 requests, 5.1 % (2.9-8.4 %)" """
    errors = f"{of.errors:,} error{'' if of.errors == 1 else 's'}"
    if not of.requests:
        return f"{name}: no request yet"
    text = f"{name}: {errors} in {of.requests:,} request{'' if of.requests == 1 else 's'}"
    text += f", {percent(of.rate or 0.0)}"
    if interval is not None:
        low, high = percent(interval[0]), percent(interval[1])
        text += f" ({low.removesuffix(' %')} to {high})"
    return text


def comparison(log_evidence: float, margin: float, on_trial: bool) -> str:
    """What the evidence of candidate against stable means."""
    alike = (
        "two versions that fail alike"
        if margin == 1
        else f"a candidate whose odds of failing are within {margin:g} times stable's"
    )
    if not on_trial:
        return "nothing speaks for a higher rate than stable's in the same seconds"
    evidence = math.exp(min(log_evidence, 700.0))
    return f"{alike} would reach this evidence at most once in {whole(evidence)} releases"


def limit_broken(log_evidence: float, limit: float) -> str:
    evidence = math.exp(min(log_evidence, 700.0))
    return (
        f"a version that keeps below {percent_limit(limit)} "
        f"would reach this evidence at most once in {whole(evidence)} releases"
    )


def certificate(log_evidence: float, limit: float) -> str:
    """What a certificate that has been reached means."""
    evidence = math.exp(min(log_evidence, 700.0))
    return (
        f"proven below {percent_limit(limit)}: a version at or above it "
        f"would get this far at most once in {whole(evidence)} releases"
    )


def forecast(seconds: float | None, limit: float, hopeless: bool) -> str:
    """The tail about time still needed; "" when nothing honest can be said."""
    if seconds is not None:
        return f"certain below {percent_limit(limit)} in about {duration(seconds)} at this traffic"
    if hopeless:
        return f"with the errors so far it cannot become certain below {percent_limit(limit)}"
    return ""


def sentence(*parts: str) -> str:
    """Parts joined by semicolons, those that are empty left out."""
    return "; ".join(part for part in parts if part)


def silence(seconds: float, candidate: ArmCounts) -> str:
    """Nothing reaches the candidate."""
    if not candidate.requests:
        return "no request has reached the candidate yet; waiting"
    return sentence(
        f"no request reached the candidate in the last {duration(seconds)}; waiting",
        f"{counts(candidate)} before",
    )


def unreachable(freshness: Freshness) -> str:
    """Which arm's figures cannot be read, and for how long."""
    arms = (("candidate", freshness.candidate), ("stable", freshness.stable))
    parts = [
        f"the figures of {name} have been unreadable for {duration(arm.seconds)}"
        for name, arm in arms
        if arm.reading is Reading.UNREACHABLE
    ]
    return sentence(*parts, "holding until they are back")
