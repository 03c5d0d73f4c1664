"""The drawing of both arms' error rates with their confidence sequences, for the table of rules."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from releases.domain.judge.explanation import percent, percent_limit
from releases.domain.verdict import ArmCounts, Interval

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
