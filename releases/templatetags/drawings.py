"""The small drawings of the pages: splits, progress, evidence on a log scale, intervals of both arms.

Each says in words what it shows, for those who do not see it.
"""

from math import log10

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from releases.domain.judge.explanation import percent, percent_limit
from releases.domain.verdict import ArmCounts, Interval
from releases.services.charts.predictions import BinShares
from releases.templatetags.ui import evidence

register = template.Library()
LEFT, WIDTH = 2.0, 136.0
_NICE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _top(*ends: float) -> float:
    """The end of the axis: the next round share above all that has to be seen."""
    highest = max(ends)
    return next((nice for nice in _NICE if nice >= highest), 1.0)


def _arm(css: str, y: int, interval: Interval | None, counts: ArmCounts, top: float) -> SafeString:
    def at(share: float) -> str:
        return f"{LEFT + WIDTH * min(share, top) / top:.1f}"

    middle = at(counts.rate or 0.0)
    ends = (at(interval[0]), at(interval[1])) if interval else (middle, middle)
    line = format_html('<line x1="{}" x2="{}" y1="{}" y2="{}" opacity=".45"/>', *ends, y, y)
    if css == "s":
        mark = format_html('<circle cx="{}" cy="{}" r="3"/>', middle, y)
    else:
        mark = format_html('<path d="M{} {}l4 4-4 4-4-4z"/>', middle, y - 4)
    return format_html('<g class="{}">{}{}</g>', css, line, mark)


def _words(name: str, counts: ArmCounts, interval: Interval | None) -> str:
    if interval is None:
        return f"{name} {percent(counts.rate or 0.0)}"
    return f"{name} {percent(counts.rate or 0.0)}, {percent(interval[0])} to {percent(interval[1])}"


@register.simple_tag
def forest(
    stable: ArmCounts | None,
    stable_interval: Interval | None,
    candidate: ArmCounts,
    interval: Interval | None,
    limit: float | None,
) -> str:
    """Both arms on one axis from 0, a dashed mark at the limit, the end of the axis in words below."""
    candidate_end = min(interval[1] if interval else 0.0, 4 * max(candidate.rate or 0.0, limit or 0.0, 0.005))
    ends = [candidate_end, candidate.rate or 0.0, 1.5 * (limit or 0.0)]
    if stable is not None:
        ends.append(stable.rate or 0.0)
    top = _top(*ends)
    at_limit = f"{LEFT + WIDTH * limit / top:.1f}" if limit else ""
    mark = (
        format_html('<line class="limit" x1="{}" x2="{}" y1="0" y2="26"/>', at_limit, at_limit)
        if limit
        else ""
    )
    words = [_words("stable", stable, stable_interval)] if stable else []
    words.append(_words("candidate", candidate, interval))
    note = f"0 to {percent_limit(top)}" + (f", limit {percent_limit(limit)}" if limit else "")
    return format_html(
        '<svg class="forest" viewBox="0 0 144 28" role="img" aria-label="{}">'
        '<line class="axis" x1="2" x2="138" y1="26.5" y2="26.5"/>{}{}{}</svg><span class="sub">{}</span>',
        "; ".join(words),
        mark,
        _arm("s", 7, stable_interval, stable, top) if stable else "",
        _arm("c", 18, interval, candidate, top),
        note.replace(" %", "\N{NO-BREAK SPACE}%"),
    )


@register.simple_tag
def shares(of: BinShares, top: float) -> str:
    """One bin of predictions: a bar for each arm from 0 to `top`, its interval as a line across the end."""
    arms = (
        ("stable", 0, of.stable, of.stable_interval),
        ("candidate", 9, of.candidate, of.candidate_interval),
    )
    bars = [
        _share_bar(css, y, counts, interval, top) for css, y, counts, interval in arms if counts and interval
    ]
    words = "; ".join(
        _words(name, counts, interval) for name, _, counts, interval in arms if counts is not None
    )
    return format_html(
        '<svg class="shares" viewBox="0 0 100 16" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        words,
        format_html_join("", "{}", ((bar,) for bar in bars)),
    )


def _share_bar(css: str, y: int, counts: ArmCounts, interval: Interval, top: float) -> SafeString:
    low, high, end = (f"{100 * min(value / top, 1.0):.1f}" for value in (*interval, counts.rate or 0.0))
    return format_html(
        '<rect class="{}" y="{}" width="{}" height="7"/>'
        '<line class="interval {}" x1="{}" x2="{}" y1="{}" y2="{}"/>',
        *(css, y, end),
        *(css, low, high, y + 3.5, y + 3.5),
    )


@register.simple_tag
def bar(candidate: float, css: str = "bar") -> str:
    """The split as one bar: stable from the left, candidate at the right, a gap of ground between."""
    weight = float(candidate)
    right = ""
    if weight:
        right = format_html(
            '<rect class="candidate" x="{}" width="{}" height="8"/>'
            '<rect class="gap" x="{}" width=".8" height="8"/>',
            f"{100 - weight:g}",
            f"{weight:g}",
            f"{100 - weight - 0.4:g}",
        )
    return format_html(
        '<svg class="{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        'aria-label="stable {} %, candidate {} %"><rect class="stable" width="{}" height="8"/>{}</svg>',
        css,
        f"{100 - weight:g}",
        f"{weight:g}",
        f"{100 - weight:g}",
        right,
    )


@register.simple_tag
def split(candidate: int) -> str:
    """The split in a row of a table."""
    return format_html(
        '<span class="split mini">{}<span class="num"><span class="arm-stable">{}</span>'
        '<span class="muted"> / </span><span class="arm-candidate">{}</span></span></span>',
        bar(candidate),
        100 - candidate,
        candidate,
    )


@register.simple_tag
def progress(percent_done: float, css: str = "rail") -> str:
    """How far the present phase has come, in percent."""
    return format_html(
        '<svg class="{}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="fill" width="{}" height="4"/></svg>',
        css,
        f"{max(0.0, min(100.0, percent_done)):.1f}",
    )


@register.simple_tag
def meter(value: float, bound: float, tone_name: str, css: str = "") -> str:
    """Evidence on a log scale from 1 to ten times its limit, with a mark at the limit."""
    top = 10 * bound

    def at(amount: float) -> float:
        return max(0.0, min(100.0, 100 * log10(max(amount, 1.0)) / log10(top)))

    return format_html(
        '<svg class="meter {}" data-tone="{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        'aria-label="{} of {}, log scale"><rect class="fill" width="{}" height="8"/>'
        '<rect class="limit" x="{}" width=".6" height="8"/></svg>',
        css,
        tone_name,
        evidence(value),
        f"{bound:g}",
        f"{at(float(value)):.1f}",
        f"{at(bound) - 0.3:.1f}",
    )


@register.simple_tag
def spark(values: list[float], tone_name: str = "", label: str = "evidence of harm") -> str:
    """A small line of evidence from 0 to 1, where 1 is the limit."""
    last = max(1, len(values) - 1)
    points = " ".join(f"{100 * i / last:.1f},{22 - 20 * value:.1f}" for i, value in enumerate(values))
    return format_html(
        '<svg class="spark" data-tone="{}" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><line class="limit" x1="0" x2="100" y1="2" y2="2"/>'
        '<polyline class="path" points="{}"/></svg>',
        tone_name,
        label,
        points,
    )
