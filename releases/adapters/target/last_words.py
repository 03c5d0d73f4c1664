"""Of all that a model server said before it ended, the line that tells a person why. Pure."""

import re
from collections.abc import Sequence

LONGEST = 240
REASON = re.compile(r"error|exception|refused|denied|killed|no such file|cannot", re.IGNORECASE)
# Lines of tracebacks that say where and not why, and how the shutdown that follows a failure ends:
# its traceback may come last.
SAYS_NOTHING = re.compile(r"^\s|Traceback \(|CancelledError|KeyboardInterrupt|SystemExit")
SECRETS = (
    (re.compile(r"(?<=://)[^/\s@]+@"), "…@"),
    (re.compile(r"(?i)((?:password|passwd|secret|token|api_?key)\S*?\s*[=:]\s*)\S+"), r"\1…"),
)


def telling_line(lines: Sequence[str]) -> str:
    """The last line that says why, without secrets; empty when there is none."""
    telling = (line for line in reversed(lines) if REASON.search(line) and not SAYS_NOTHING.search(line))
    found = next(telling, "").strip()
    for pattern, replacement in SECRETS:
        found = pattern.sub(replacement, found)
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"
