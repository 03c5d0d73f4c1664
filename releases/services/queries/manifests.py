"""The manifests of a release for its page: what changes, line by line, and the whole of them.

Compares texts; knows nothing of what is in them.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher

from releases.models import ReleaseManifest

AROUND = 3  # lines that stay the same, shown on either side of a change


@dataclass(frozen=True, slots=True)
class Line:
    """`kind`: add, del, at (lines left out) or empty."""

    kind: str
    text: str

    @property
    def mark(self) -> str:
        """What stands before the line."""
        return {"add": "+", "del": "-"}.get(self.kind, " ")


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be done to one text to make the other of it; no lines: nothing."""

    lines: tuple[Line, ...]

    @property
    def added(self) -> int:
        """Lines that are new."""
        return sum(line.kind == "add" for line in self.lines)

    @property
    def removed(self) -> int:
        """Lines that are gone."""
        return sum(line.kind == "del" for line in self.lines)


def difference(before: str, after: str) -> Difference:
    """Line by line, with a few lines around each change."""
    old, new = before.splitlines(), after.splitlines()
    lines: list[Line] = []
    shown = 0  # lines of the old text that are behind us
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(AROUND):
        lines += _left_out(group[0][1] - shown)
        for kind, first, last, begin, end in group:
            if kind == "equal":
                lines += [Line("", text) for text in old[first:last]]
                continue
            lines += [Line("del", text) for text in old[first:last]]
            lines += [Line("add", text) for text in new[begin:end]]
        shown = group[-1][2]
    if lines:
        lines += _left_out(len(old) - shown)
    return Difference(tuple(lines))


def _left_out(count: int) -> list[Line]:
    words = "1 line" if count == 1 else f"{count} lines"
    return [Line("at", f"… {words} that stay{'s' if count == 1 else ''} the same")] if count > 0 else []


@dataclass(frozen=True, slots=True)
class Manifests:
    """`row`: as they are kept. Nothing is compared before somebody asks."""

    row: ReleaseManifest

    @property
    def has_ended(self) -> bool:
        """Whether what the release left behind is known."""
        return self.row.ended_at is not None

    @property
    def planned(self) -> Difference:
        """What applying them changes."""
        return difference(self.row.before, self.row.after)

    @property
    def outcome(self) -> Difference:
        """What the release as a whole has changed."""
        return difference(self.row.before, self.row.ended)

    @property
    def changed(self) -> Difference:
        """The newest that is known of what the release changes."""
        return self.outcome if self.has_ended else self.planned

    @property
    def whole(self) -> Difference:
        """The newest that is known, exactly and entirely."""
        text = self.row.ended if self.has_ended else self.row.after
        return Difference(tuple(Line("", line) for line in text.splitlines()))
