"""The block of the cache: the same question gets the answer that the model gave before.

The key holds the model's name and the id of the logged model besides the complete input, so no version ever
answers with the words of another. Whatever is wrong with Redis is a miss. Only one process computes what
several are asked at the same time; the others wait for it, but not for long. Must not know what a core is.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd
from redis.lock import Lock

from serving.answer_store import AnswerStore, NotBytes, StoreFull, StoreUnreachable
from serving.answers import note_answer_from_cache, noted
from serving.blocks import Document, Draft, Opened, Options, Predictor
from serving.canonical import Unkeyable, cache_key
from serving.counters import counter
from serving.errors import CannotLoad
from serving.kept_answers import Poisoned, Promise, Unkeepable, promise_of, read, write

URL_VARIABLE = "MODEL_CACHE_URL"
POLL_SECONDS = 0.01
REASONS = ("absent", "busy", "full", "poisoned", "unkeyable", "unreachable")
"""Why the model itself answered: nothing was kept; another process was computing the same and did not get
done in time; Redis is full; what was kept is no answer; the request has no canonical form; no Redis."""
OUT_OF_ORDER = ("full", "unreachable")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a spec may say; the defaults are those of the product."""

    ttl_seconds: int = 3600
    max_value_bytes: int = 1 << 20
    timeout_ms: int = 100
    wait_ms: int = 500


def compose(options: Options, draft: Draft) -> Document:
    """The options with the defaults filled in."""
    draft.requirements.append(f"redis=={version('redis')}")
    return asdict(Settings(**options))


def wrap(document: Document, opened: Opened, inner: Predictor) -> Predictor:
    """Stand round the core. A Redis that is not there yet is no reason to refuse, a missing address is."""
    if not (url := os.environ.get(URL_VARIABLE)):
        raise CannotLoad(f"{URL_VARIABLE} is not set: this model needs the address of a Redis for its cache")
    settings = Settings(**document)
    store = AnswerStore(url, settings.timeout_ms / 1000)
    return CachedPredictor(inner, store, settings, (opened.model, opened.identity), opened.signature.outputs)


class CachedPredictor:
    """A core with the cache in front of it."""

    def __init__(
        self,
        inner: Predictor,
        store: AnswerStore,
        settings: Settings,
        identity: tuple[str, str],
        outputs: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._store = store
        self._settings = settings
        self._identity = identity
        self._promise: Promise | None = promise_of(outputs)
        self._clock = clock
        self._sleep = sleep
        self._hits = counter("model_cache_hits_total", "Requests that were answered from the cache")
        self._misses = counter(
            "model_cache_misses_total", "Requests that the model itself had to answer, and why", ("why",)
        )
        for reason in REASONS:
            self._misses.labels(reason)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """The kept answer, or the core's, which is then kept."""
        try:
            key = cache_key(*self._identity, frame, params)
        except Unkeyable as error:
            log.info("a request is not cached: %s", error)
            self._misses.labels("unkeyable").inc()
            return self._inner.predict(frame, params)
        look = self._look(key, len(frame))
        if look.answer is not None:
            return self._hit(look.answer)
        reason = look.reason
        try:
            with noted() as note:
                answer = self._inner.predict(frame, params)
            if reason not in OUT_OF_ORDER and not note.is_incomplete:
                reason = self._keep(key, answer, len(frame)) or reason
        finally:
            self._misses.labels(reason).inc()
            if look.lock is not None:
                self._store.release(look.lock)
        return answer

    def _hit(self, answer: Any) -> Any:
        self._hits.inc()
        note_answer_from_cache()
        return answer

    def _look(self, key: str, rows: int) -> "_Look":
        """The kept answer, or why there is none and, if this process is to compute it, the lock."""
        try:
            look = self._read(key, rows)
            if look.answer is not None or not self._settings.wait_ms:
                return look
            lease = self._settings.wait_ms / 1000
            deadline = self._clock() + lease
            while (lock := self._store.lock(key, lease)) is None and self._clock() < deadline:
                self._sleep(POLL_SECONDS)
                if (again := self._read(key, rows)).answer is not None:
                    return again
            if lock is None:
                return _Look(reason="busy")
            # Another may have got done between the look and the lock.
            again = self._read(key, rows)
            if again.answer is None:
                return _Look(reason=look.reason, lock=lock)
            self._store.release(lock)
            return again
        except StoreUnreachable:
            return _Look(reason="unreachable")
        except StoreFull:
            return _Look(reason="full")

    def _read(self, key: str, rows: int) -> "_Look":
        try:
            content = self._store.read(key, self._settings.max_value_bytes)
            if content is None:
                return _Look(reason="absent")
            return _Look(answer=read(content, key, rows, self._promise))
        except (Poisoned, NotBytes) as error:
            log.warning("an answer in the cache is not used: %s", error)
            return _Look(reason="poisoned")

    def _keep(self, key: str, answer: Any, rows: int) -> str | None:
        """Store an answer for the next who asks; returns why it could not be, if Redis is the reason."""
        try:
            content = write(answer, key, rows, self._promise)
            if len(content) <= self._settings.max_value_bytes:
                self._store.write(key, content, self._settings.ttl_seconds)
        except Unkeepable as error:
            log.info("an answer is not kept: %s", error)
        except StoreUnreachable:
            return "unreachable"
        except StoreFull:
            return "full"
        return None


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found in the cache: an answer, or the reason for a miss."""

    answer: Any = None
    reason: str = ""
    lock: Lock | None = None
