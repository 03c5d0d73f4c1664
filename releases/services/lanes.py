"""Work for one place runs in a lane of its own, so that a cluster that hangs does not hold up the others.

A lane is a thread of the worker's process. What runs in it is what any task may be: lost with the process,
and done by the next tick. A lane that is still at its last work is left alone: a place that hangs costs one
thread, however long. Knows nothing of places.
"""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

logger = logging.getLogger(__name__)

# At once in one process. Each holds a connection to the database, of which there are about a hundred.
MOST_LANES = 16


class Lanes:
    """The lanes of one process; more than `most` at once wait for their turn."""

    def __init__(self, most: int = MOST_LANES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._made_by = 0

    def start(self, lane: str, work: Callable[[], object]) -> bool:
        """Begin the work in a lane and return at once; False when the lane is still at its last."""
        with self._lock:
            if self._pool is None or self._made_by != os.getpid():  # threads are not inherited over a fork
                self._pool, self._made_by = ThreadPoolExecutor(self._most, "lane"), os.getpid()
                self._busy = set()
            if lane in self._busy:
                return False
            self._busy.add(lane)
            self._pool.submit(self._run, lane, work)
        return True

    def _run(self, lane: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            logger.exception("%s", lane)
        finally:
            connections.close_all()  # those of this thread
            with self._lock:
                self._busy.discard(lane)
