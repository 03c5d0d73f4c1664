"""Feast's online store as the block of features sees it: values of entities, and how old each is.

Feast itself hands out values of any age on the way that is taken here (its issue 6821), so their times come
along. Feast is imported with this module, which takes seconds; only models with features do. Must not know
what is done about a value that is missing.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import prometheus_client  # noqa: F401  # before Feast, which would have it count in files
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from serving.breaker import Breaker
from serving.errors import CannotLoad
from serving.feature_values import StoreUnreachable, Values

# Feast's metrics module, which its first answer would import, sets this for Gunicorn's sake: whoever reads
# it in a model server would look for the counters in files where they are not.
_COUNT_IN_FILES = "PROMETHEUS_MULTIPROC_DIR"
_counting_in_files_before = os.environ.get(_COUNT_IN_FILES)
import feast.metrics  # noqa: E402, F401
from feast import FeatureStore, FeatureView  # noqa: E402
from feast.infra.online_stores.redis import RedisOnlineStoreConfig  # noqa: E402
from feast.types import String  # noqa: E402

if _counting_in_files_before is None:
    os.environ.pop(_COUNT_IN_FILES, None)

CONFIGURATION = "feature_store.yaml"
TIMEOUT_SECONDS = 0.5
BREAK_SECONDS = 5.0

log = logging.getLogger(__name__)


def connection_of(address: str) -> str:
    """`host:port/database` as Feast spells it, with time limits and without its patient retries.

    Feast's own options may follow after commas: `host:port/1,ssl=true,password=…`. Raises CannotLoad."""
    place, *options = address.split(",")
    where, _, database = place.partition("/")
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit() or not (database or "0").isdigit():
        raise CannotLoad("FEATURE_ONLINE_URL is not host:port/database, such as 127.0.0.1:6379/1")
    limits = f"socket_timeout={TIMEOUT_SECONDS},socket_connect_timeout={TIMEOUT_SECONDS},retry=null"
    return ",".join([where, f"db={database or 0}", *options, limits])


def open_store(folder: Path, address: str) -> FeatureStore:
    """The Feast repository in a folder, with its online store at `address`. Raises CannotLoad."""
    if not (folder / CONFIGURATION).is_file():
        raise CannotLoad(f"FEATURE_STORE: there is no {CONFIGURATION} in {folder}")
    connection = connection_of(address)
    try:
        store = FeatureStore(repo_path=str(folder))
        online = store.config.online_store
    except Exception as error:  # Feast's and pydantic's, of many kinds
        words = " ".join(str(error).split())[:500]
        raise CannotLoad(f"FEATURE_STORE: {folder / CONFIGURATION} cannot be used: {words}") from error
    if not isinstance(online, RedisOnlineStoreConfig):
        raise CannotLoad(f"FEATURE_STORE: the online store of {folder} is not Redis")
    online.connection_string = connection
    return store


class OnlineFeatures:
    """Some features of one kind of entity."""

    def __init__(
        self,
        store: FeatureStore,
        entity: str,
        view_features: Sequence[str],
        ids_are_text: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`entity` is a join key, `view_features` are spelled `view:feature`. Raises CannotLoad if the
        repository has no such thing. The online store is not contacted."""
        self._ids_are_text = ids_are_text
        self._store = store
        self._entity = entity
        self._view_features = list(view_features)
        self._breaker = Breaker(BREAK_SECONDS, clock)
        self._time_to_live = {each: self._checked(each).ttl or None for each in view_features}

    def read(self, ids: Sequence[Any]) -> dict[str, Values]:
        """Per `view:feature` the values of these entities; raises StoreUnreachable."""
        if self._breaker.is_open:
            raise StoreUnreachable("the online store did not answer a moment ago")
        try:
            try:
                found = self._fetch(ids)
            except RedisConnectionError:  # a connection that a restart has closed; a time-out is none
                found = self._fetch(ids)
        except (RedisError, OSError) as error:
            self._breaker.failed()
            log.warning("the online store is left alone for %g s: %s", BREAK_SECONDS, error)
            raise StoreUnreachable(str(error)) from error
        self._breaker.answered()
        return found

    def _fetch(self, ids: Sequence[Any]) -> dict[str, Values]:
        response = self._store.get_online_features(
            features=self._view_features, entity_rows={self._entity: list(ids)}, full_feature_names=True
        )
        values = response.to_dict()
        results = dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))
        found = {}
        for each in self._view_features:
            name = each.replace(":", "__")
            times = [_time(stamp.seconds, stamp.nanos) for stamp in results[name].event_timestamps]
            found[each] = Values(values[name], times, self._time_to_live[each])
        return found

    def _checked(self, view_feature: str) -> FeatureView:
        """The view of a feature, if the repository has both, by this join key."""
        view_name, _, feature = view_feature.partition(":")
        try:
            view = self._store.get_feature_view(view_name)
        except Exception as error:  # of many kinds: no such view, no registry yet, a registry that is broken
            raise CannotLoad(f"the feature store has no view {view_name}: {error}") from error
        if view.join_keys != [self._entity]:
            keys = " and ".join(view.join_keys)
            raise CannotLoad(f"the view {view_name} is looked up by {keys}, not by {self._entity}")
        if (view.entity_columns[0].dtype == String) != self._ids_are_text:
            words = ("a number", "text") if self._ids_are_text else ("text", "a number")
            raise CannotLoad(
                f"{self._entity} is {words[0]} in the feature store, and {words[1]} in this model"
            )
        if feature not in {field.name for field in view.features}:
            known = ", ".join(field.name for field in view.features)
            raise CannotLoad(f"the view {view_name} has no feature {feature}; it has {known}")
        return view


def _time(seconds: int, nanos: int) -> datetime | None:
    return datetime.fromtimestamp(seconds + nanos / 1e9, UTC) if seconds else None
