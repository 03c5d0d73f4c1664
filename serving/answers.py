"""What is to be known of the answer to the request that is being answered, besides the answer.

The runtime takes notes on each request; the cache writes down that it answered, so that only what the model
said is counted as a prediction; an ensemble writes down that members were missing, so that such an answer is
not kept. Knows none of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Note:
    """On one request."""

    is_from_cache: bool = False
    is_incomplete: bool = False
    """Members failed: asked again, the model may answer better."""


_current: ContextVar[Note | None] = ContextVar("note_of_this_request", default=None)


@contextmanager
def noted() -> Iterator[Note]:
    """The note of the request that is answered inside; what a note within it says, it says too."""
    note, around = Note(), _current.get()
    token = _current.set(note)
    try:
        yield note
    finally:
        _current.reset(token)
        if around is not None:
            around.is_from_cache |= note.is_from_cache
            around.is_incomplete |= note.is_incomplete


def note_answer_from_cache() -> None:
    """Outside of a request that anybody takes notes on nothing happens."""
    if (note := _current.get()) is not None:
        note.is_from_cache = True


def note_incomplete_answer() -> None:
    """As above; what the answer lacks is for its author to count."""
    if (note := _current.get()) is not None:
        note.is_incomplete = True
