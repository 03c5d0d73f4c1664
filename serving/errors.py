"""What goes wrong when a model is composed, loaded or asked, each a sentence for whoever has to act.

Knows no library: everything in this package may import it.
"""

from collections.abc import Sequence

Place = tuple[str | int, ...]
"""Where in a spec something is, from its root: ("core", "members", "forest", "version")."""


class Refused(Exception):
    """What was asked for cannot be done, and who asked can mend that."""


class Problem(Refused):
    """Something in a spec that its author has to change."""

    def __init__(self, place: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.place: Place = tuple(place)
        self.message = message


class Unreachable(Exception):
    """The registry or the portal did not answer, or would not do what was asked."""


class CannotLoad(Refused):
    """A composed model that must not be served as it stands: a variable is missing, a file was altered."""


class RequestRefused(ValueError):
    """The caller's mistake: under MLServer it is answered with status 400 and these words."""


class MemberFailed(RuntimeError):
    """A member raised, or answered what the composition cannot use."""
