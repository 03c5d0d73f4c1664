"""What ends a command, each with its exit code and a sentence for the person who reads the log.

0 reached, 1 refused or rolled back, 2 usage, 3 the portal is not reachable, 4 timed out and still running;
130 interrupted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

REACHED = 0
REFUSED = 1
USAGE = 2
NOT_REACHABLE = 3
STILL_RUNNING = 4
INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command; the text is for people, `code` for machines."""

    exit_code: ClassVar[int] = REFUSED
    code = "refused"

    def to_json(self) -> Mapping[str, Any]:
        """As a problem document, like those of the API."""
        return {"title": type(self).__name__, "detail": str(self), "code": self.code}


class Refused(CommandError):
    """The portal says no. `fields` maps what was wrong to sentences, `state` is what stands in the way."""

    def __init__(self, sentence: str, *, status: int = 0, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.document = document or {}
        self.code = str(self.document.get("code", "refused"))

    @property
    def state(self) -> Mapping[str, Any]:
        """Of a conflict: what is in the way; else empty."""
        state = self.document.get("state")
        return state if isinstance(state, Mapping) else {}

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """Field -> what is wrong with it."""
        errors = self.document.get("errors")
        if not isinstance(errors, Mapping):
            return {}
        return {name: said if isinstance(said, list) else [str(said)] for name, said in errors.items()}

    def to_json(self) -> Mapping[str, Any]:
        """The portal's own document, where there is one."""
        return self.document or super().to_json()


class Misused(CommandError):
    """The command cannot be understood, or lacks what it needs to begin."""

    exit_code = USAGE
    code = "usage"


class NotReachable(CommandError):
    """The portal did not answer for as long as the patience lasts, or what answers is no portal."""

    exit_code = NOT_REACHABLE
    code = "not_reachable"


class StillRunning(CommandError):
    """The time is over, the release is not."""

    exit_code = STILL_RUNNING
    code = "still_running"


class Unsure(Exception):
    """A request that must not be repeated blindly may have been done or not: look before anything else."""
