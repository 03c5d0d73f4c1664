"""Keeps a server that does not answer from costing every request a time-out. Knows nothing of servers."""

from collections.abc import Callable


class Breaker:
    """Open for `seconds` after a failure; then one more attempt shows whether the server is back."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing should be asked now. The caller that finds it closed again after a failure tries;
        for the others it is open until that attempt has had its time."""
        if self._open_until is None:
            return False
        now = self._clock()
        if now < self._open_until:
            return True
        self._open_until = now + self._seconds
        return False

    def failed(self) -> None:
        """The server did not answer."""
        self._open_until = self._clock() + self._seconds

    def answered(self) -> None:
        """The server is there."""
        self._open_until = None
