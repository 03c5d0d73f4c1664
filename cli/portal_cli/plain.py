"""Text of others, made harmless: one line, nothing that moves a cursor, nothing that a CI runner obeys.

Everything that the portal says passes here before it is shown anywhere. Pure.
"""

import re
import unicodedata

LONGEST = 600
_SPACES = re.compile(r"\s+")
# What Markdown, and HTML in it, could take for markup; each may be escaped with a backslash (CommonMark 2.4).
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&:@$\"'^=-])")


def plain(value: object, longest: int = LONGEST) -> str:
    """One line of printable text: controls, directions and surrogates gone, white space single."""
    text = str(value)[: 4 * longest]
    kept = "".join(" " if character.isspace() else _printable(character) for character in text)
    # `##[group]` is an order to GitHub's runner wherever it stands in a line, `::group::` at its start.
    line = _SPACES.sub(" ", kept).strip().replace("##[", "## [")
    line = re.sub(r"^::", ": :", line)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def markdown(value: object) -> str:
    """The text as text, also in the cell of a table."""
    return _MARKUP.sub(r"\\\1", plain(value))


def _printable(character: str) -> str:
    """Nothing for what is not to be seen: controls, formats, surrogates, private and unassigned ones."""
    return "" if unicodedata.category(character).startswith("C") else character
