"""Who answered the request that is being answered: the model, or what it answered before.

The runtime asks for a note before it hands a request to the model, the cache writes on it, so that only
what the model said is counted as a prediction. Knows neither of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Note:
    """On one request."""

    is_from_cache: bool = False


_current: ContextVar[Note | None] = ContextVar("note_of_this_request", default=None)


@contextmanager
def noted() -> Iterator[Note]:
    """The note of the request that is answered inside; also threads that copy the context write on it."""
    note = Note()
    token = _current.set(note)
    try:
        yield note
    finally:
        _current.reset(token)


def note_answer_from_cache() -> None:
    """Outside of a request that anybody takes notes on nothing happens."""
    if (note := _current.get()) is not None:
        note.is_from_cache = True
