"""Redis as the place where answers are kept: three commands, short patience, three ways to say no.

What is stored is bytes; this module must not know what they mean. Whatever is wrong with Redis is one of
StoreUnreachable, StoreFull and NotBytes: none of them is an error of the request.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import LockError, OutOfMemoryError, RedisError, ResponseError
from redis.lock import Lock
from redis.retry import Retry

from serving.breaker import Breaker
from serving.errors import CannotLoad

BREAK_SECONDS = 5.0
PREFIX = "model-cache:"
WRONG_TYPE = "WRONGTYPE"

Found = TypeVar("Found")

log = logging.getLogger(__name__)


class StoreUnreachable(Exception):
    """Redis does not answer in time, or refuses to serve."""


class StoreFull(Exception):
    """Redis has reached its `maxmemory` and evicts nothing."""


class NotBytes(Exception):
    """Under the key is something that this store never writes."""


class AnswerStore:
    """One Redis; nothing is contacted before the first request."""

    def __init__(self, url: str, timeout_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`url` as redis-py spells it; raises CannotLoad if it is none (without showing its password)."""
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                # One more attempt for a connection that a restart of Redis has closed, none for a time-out.
                retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            )
        except ValueError:
            raise CannotLoad(
                "MODEL_CACHE_URL is not an address of Redis: redis://, rediss:// or unix:// are"
            ) from None
        self._breaker = Breaker(BREAK_SECONDS, clock)

    def read(self, key: str, most_bytes: int) -> bytes | None:
        """What is stored, or None. More than `most_bytes` is not fetched, and NotBytes."""
        found: Any = self._asked(lambda: self._redis.getrange(PREFIX + key, 0, most_bytes))
        if len(found) > most_bytes:
            raise NotBytes(f"it is longer than {most_bytes} bytes")
        return found or None

    def write(self, key: str, content: bytes, seconds: int) -> None:
        """Keep `content`, whatever was there before, for so long."""
        self._asked(lambda: self._redis.set(PREFIX + key, content, ex=seconds))

    def lock(self, key: str, seconds: float) -> Lock | None:
        """A lock that ends by itself after so long; None if another has it."""
        lock = self._redis.lock(f"{PREFIX}{key}:lock", timeout=seconds, blocking=False, thread_local=False)
        return lock if self._asked(lock.acquire) else None

    def release(self, lock: Lock) -> None:
        """Give it back; nothing happens if it has ended, or Redis has: it ends by itself."""
        with contextlib.suppress(LockError, StoreUnreachable, StoreFull, NotBytes):
            self._asked(lock.release)

    def _asked(self, command: Callable[[], Found]) -> Found:
        if self._breaker.is_open:
            raise StoreUnreachable("Redis did not answer a moment ago")
        try:
            found = command()
        except OutOfMemoryError as error:
            self._breaker.answered()
            raise StoreFull(str(error)) from error
        except LockError:
            self._breaker.answered()
            raise
        except RedisError as error:
            if isinstance(error, ResponseError) and str(error).startswith(WRONG_TYPE):
                self._breaker.answered()
                raise NotBytes(str(error)) from error
            self._breaker.failed()
            log.warning("the cache is left alone for %g s: %s", BREAK_SECONDS, error)
            raise StoreUnreachable(str(error)) from error
        self._breaker.answered()
        return found
