"""Template tags of the design: icons, badges, splits, meters, intervals, times, JSON for charts.

They know words, shapes and figures; they ask no database and know no clock but the one given.
"""

import json
import re
from datetime import UTC, datetime

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from releases.domain.judge.explanation import duration, percent, percent_limit
from releases.templatetags.words import LOOKS

register = template.Library()
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
NOTHING = "\N{EN DASH}"
# Of the attribute of a None Django gives filters the empty string: no number is known either way.
Known = int | float
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|(?:s|ms|min|h|d|MB|kB|GB|B|requests/s)\b))")
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def _symbol(name: str) -> SafeString:
    return format_html('<use href="{}#{}"/>', static("portal/icons.svg"), name)


@register.filter
def units(value: object) -> str:
    """Join every figure in a text with its unit by a no-break space; escapes what is not safe."""
    escaped = conditional_escape(value if isinstance(value, SafeString) else str(value))
    return mark_safe(_BEFORE_UNIT.sub(NO_BREAK_SPACE, escaped))  # noqa: S308 - escaped above


@register.filter
def rate(share: float | None) -> str:
    """0.0031 -> "0.31 %"; a dash where there is no rate."""
    return percent(share).replace(" ", NO_BREAK_SPACE) if isinstance(share, Known) else NOTHING


@register.filter
def limit(share: float) -> str:
    """A limit as somebody wrote it: 0.01 -> "1 %"."""
    return percent_limit(share).replace(" ", NO_BREAK_SPACE)


@register.filter
def spaced(name: str) -> str:
    """ "pickle_scan" -> "Pickle scan" """
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


@register.filter
def grouped(number: int | None) -> str:
    """12345 -> "12,345"."""
    return f"{number:,}" if isinstance(number, Known) else NOTHING


@register.filter
def evidence(value: float | None) -> str:
    """Evidence with as many digits as it deserves: 0.42, 7.1, 118, more than a million."""
    if not isinstance(value, Known):
        return NOTHING
    if value >= 1e6:
        return "> 1,000,000"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 0.01 else "< 0.01"


@register.filter
def number(value: float | None) -> str:
    """A metric with four digits that count."""
    return f"{value:.4g}" if isinstance(value, Known) else NOTHING


@register.filter
def signed(change: float) -> str:
    """A relative change: -0.021 -> "2.1 %" with a minus sign before it."""
    text = f"{abs(100 * change):.2g}" if abs(change) < 0.1 else f"{abs(100 * change):.0f}"
    sign = "+" if change > 0 else "\N{MINUS SIGN}"
    return f"{'' if float(text) == 0 else sign}{text}{NO_BREAK_SPACE}%"


@register.filter
def milliseconds(value: float | None) -> str:
    """ "12.4 ms"; a dash where there is none."""
    if not isinstance(value, Known):
        return NOTHING
    return f"{value:.0f}{NO_BREAK_SPACE}ms" if value >= 100 else f"{value:.3g}{NO_BREAK_SPACE}ms"


@register.filter
def span(seconds: float | None) -> str:
    """A length of time in words: "14 s", "2 min 46 s", "5 h 26 min", "3 d 4 h"."""
    if not isinstance(seconds, Known):
        return NOTHING
    whole = max(0, round(seconds))
    if 0 < seconds < 10 and seconds != whole:
        text = f"{seconds:.1f} s"
    elif whole < 60:
        text = f"{whole} s"
    elif whole < 3600:
        text = f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    elif whole < 86_400:
        text = f"{whole // 3600} h {whole % 3600 // 60} min".removesuffix(" 0 min")
    else:
        text = f"{whole // 86_400} d {whole % 86_400 // 3600} h".removesuffix(" 0 h")
    return text.replace(" ", NO_BREAK_SPACE)


@register.filter
def about(seconds: float | None) -> str:
    """A length of time as coarse as a forecast deserves: "95 s", "12 min"; a dash where there is none."""
    return duration(seconds).replace(" ", NO_BREAK_SPACE) if isinstance(seconds, Known) else NOTHING


@register.filter
def clock(seconds: float | None) -> str:
    """A stop-watch: 134 -> "2:14", 7200 -> "2:00:00"."""
    if not isinstance(seconds, Known):
        return NOTHING
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


@register.filter
def size(count: int | None) -> str:
    """Bytes: "41.2 MB"."""
    if not isinstance(count, Known):
        return NOTHING
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g}{NO_BREAK_SPACE}{unit}"


@register.filter
def short(text: str, length: int = 8) -> str:
    """The beginning of an id."""
    return text[:length]


@register.filter
def short_digest(digest: str) -> str:
    """ "sha256:9f3ac1…e07b" """
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:6]}…{value[-4:]}" if value else digest


@register.filter
def capital(text: str) -> str:
    """The first letter large, the others as they are; a sentence that ends without a stop gets one."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:)" else ".")


@register.simple_tag
def moment(when: datetime | None, style: str = "m") -> str:
    """A time in UTC, which the page's script turns into the reader's zone; "s": with seconds."""
    if when is None:
        return NOTHING
    clock_face = "%H:%M:%S" if style == "s" else "%H:%M"
    is_today = when.astimezone(UTC).date() == timezone.now().date()
    shown = f"{when.astimezone(UTC):{clock_face}}" if is_today else f"{when.day} {when:%b %H:%M}"
    return format_html(
        '<time class="nowrap" datetime="{}" data-local="{}">{}</time>', when.isoformat(), style, shown
    )


@register.simple_tag
def icon(name: str) -> str:
    """An icon that says nothing by itself."""
    return format_html('<svg class="ico" aria-hidden="true">{}</svg>', _symbol(name))


@register.simple_tag
def shape(state: str, tone: str | None = None) -> str:
    """The outline of a state; hidden from readers, its word stands beside it."""
    look = LOOKS[state]
    spin = " spin" if look.shape == "s-progress" else ""
    return format_html(
        '<svg class="shape{}" data-tone="{}" aria-hidden="true">{}</svg>',
        spin,
        look.tone if tone is None else tone,
        _symbol(look.shape),
    )


@register.simple_tag
def badge(state: str, text: str = "", style: str = "") -> str:
    """A state as a word with its shape and tone."""
    look = LOOKS[state]
    return format_html(
        '<span class="badge {}" data-tone="{}">{}<span>{}</span></span>',
        style,
        look.tone,
        shape(state),
        text or look.word,
    )


@register.simple_tag
def tone(state: str) -> str:
    """The tone of a state, for `data-tone`."""
    return LOOKS[state].tone


@register.filter
def word(state: str) -> str:
    """The word of a state."""
    return LOOKS[state].word


@register.simple_tag
def figure(name: str, data: object) -> str:
    """The data of one chart, as `charts.js` reads it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign, escaped in _MARKUP.items():
        text = text.replace(sign, escaped)
    return format_html(
        '<script type="application/json" data-figure="{}">{}</script>',
        name,
        mark_safe(text),  # noqa: S308 - no character of it can end the element
    )
