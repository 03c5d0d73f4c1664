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


def milliseconds(bound: float) -> str:
    """2.5 -> "2.5 ms", 1500 -> "1.5 s"."""
    return f"{bound:.4g} ms" if bound < 1000 else f"{bound / 1000:.4g} s"


def counts(arm: ArmCounts) -> str:
    """ "0.31 % errors in 640 requests" """
    requests = f"{arm.requests:,} request{'' if arm.requests == 1 else 's'}"
    return f"{percent(arm.rate or 0.0)} errors in {requests}"


def arm(name: str, of: ArmCounts, interval: Interval | None) -> str:
    """ "candidate: 31 errors in 612 requests, 5.1 % (2.9 to 8.4 %)" """
    errors = f"{of.errors:,} error{'' if of.errors == 1 else 's'}"
    if not of.requests:
        return f"{name}: no request yet"
    text = f"{name}: {errors} in {of.requests:,} request{'' if of.requests == 1 else 's'}"
    return f"{text}, {share(of, interval)}"


def part(name: str, of: ArmCounts, interval: Interval | None, counted: str) -> str:
    """ "candidate: 66 of 612 slower than 50 ms, 11 % (8.5 to 14 %)" """
    if not of.requests:
        return f"{name}: nothing yet"
    return f"{name}: {of.errors:,} of {of.requests:,} {counted}, {share(of, interval)}"


def share(of: ArmCounts, interval: Interval | None) -> str:
    """ "5.1 % (2.9 to 8.4 %)" """
    if interval is None:
        return percent(of.rate or 0.0)
    low, high = percent(interval[0]), percent(interval[1])
    return f"{percent(of.rate or 0.0)} ({low.removesuffix(' %')} to {high})"


def expected(number: float) -> str:
    """What the candidate would have, were it like stable; "" where that is not known (NaN)."""
    if math.isnan(number):
        return ""
    shown = f"{number:.1f}" if number < 10 else f"{number:,.0f}"
    return f"like stable in the same seconds it would have {shown}"


def scatter(phi: float) -> str:
    """Why evidence grows slower than counts suggest; "" when requests are as good as independent."""
    if phi < 1.05:
        return ""
    return f"evidence is divided by {phi:.1f}, for stable's own figures come in bursts"


def chance(who: str, log_evidence: float, limit: float) -> str:
    """What evidence means, beside what it takes to decide."""
    evidence = math.exp(min(log_evidence, 700.0))
    seen = f"{who} would reach this evidence at most once in {whole(evidence)} releases"
    return f"{seen} (limit: once in {whole(limit)})"


def alike_in_errors(margin: float) -> str:
    """Who the null of the comparison of errors is about."""
    if margin == 1:
        return "two versions that fail alike"
    return f"a candidate whose odds of failing are within {margin:g} times stable's"


def alike_in_latency(margin: float) -> str:
    """Who the null of the comparison of latency is about."""
    if margin == 1:
        return "two versions that are equally fast"
    return f"a candidate whose odds of being slow are within {margin:g} times stable's"


def certificate(log_evidence: float, below: str) -> str:
    """What a certificate that has been reached means."""
    evidence = math.exp(min(log_evidence, 700.0))
    return (
        f"proven {below}: a version that is not would get this far at most once in {whole(evidence)} releases"
    )


def forecast(seconds: float, below: str, hopeless: bool) -> str:
    """The tail about time still needed, NaN for unknown; "" when nothing honest can be said."""
    if not math.isnan(seconds):
        return f"certain {below} in about {duration(seconds)} at this traffic"
    if hopeless:
        return f"as it has been so far it cannot become certain {below}"
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
    """Whose figures cannot be read, and for how long; both arms together mean their source."""
    candidate, stable = freshness.candidate, freshness.stable
    lost = Reading.UNREACHABLE
    if candidate.reading is lost and stable.reading is lost:
        since = duration(min(candidate.seconds, stable.seconds))
        said = f"the metric source cannot be reached: no figures of either version for {since}"
    else:
        name, of = ("candidate", candidate) if candidate.reading is lost else ("stable", stable)
        said = f"the figures of {name} have been unreadable for {duration(of.seconds)}"
    return sentence(said, "holding until they are back")
