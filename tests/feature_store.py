"""A real Feast store for a test run: filled by the sample pipeline's command, online in a real Redis.

Feast is in the models' environment and takes seconds to import, so one process there fills the store and
answers what the tests want to know of it.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.conf import settings

from mlops_portal.stack.ports import automatic
from tests.serving.own_redis import OwnRedis

STALE_USER = 1000
UNKNOWN_USER = 999
RENEWED_USER = 200
"""Its values are written anew after the store was filled."""

PROCESS = """
import contextlib, json, os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import pandas as pd
from serving.errors import CannotLoad
from serving.feature_store import OnlineFeatures, open_store  # first, as in a model server
from serving.feature_values import StoreUnreachable
from pipelines import features

folder, stale_user, renewed_user = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
address, until = os.environ['FEATURE_ONLINE_URL'], datetime.fromisoformat(sys.argv[4])
features.main([str(folder), '--until', until.isoformat()])
store = open_store(folder, address)
values = {'age': [33], 'avg_purchase': [1.0], 'total_spend': [2.0]}
for user, time in ((stale_user, until - timedelta(days=2)), (renewed_user, until + timedelta(seconds=1))):
    row = pd.DataFrame({'user_id': [user], 'event_timestamp': [pd.Timestamp(time)], **values})
    store.write_to_online_store('user_features', row)

view_features = ['user_features:age', 'user_features:avg_purchase', 'user_features:total_spend']
entities = pd.read_parquet(folder / 'asked.parquet')
features.training_set(store, entities, view_features).to_parquet(folder / 'training.parquet')
bottles = pd.DataFrame({'bottle_id': [0, 177], 'event_timestamp': [pd.Timestamp(until)] * 2})
bottles['user_id'] = [1, stale_user]  # of whom the offline store knows nothing
wines = features.training_set(
    store, bottles, ['user_features:age', 'wine_measurements:proline', 'wine_measurements:alcohol']
)

online = OnlineFeatures(store, 'user_id', view_features)
found = online.read([1, 2, 999, stale_user])
outcomes = {each: values.outcomes(until + timedelta(hours=1)) for each, values in found.items()}
tomorrow = {each: values.outcomes(until + timedelta(hours=25)) for each, values in found.items()}

def refusal(make):
    try:
        make()
    except (CannotLoad, StoreUnreachable) as error:
        return f'{type(error).__name__}: {error}'

away = OnlineFeatures(open_store(folder, '127.0.0.1:1/1'), 'user_id', view_features, clock=lambda: 0.0)
json.dump({
    'values': {each: values.values for each, values in found.items()},
    'outcomes': outcomes,
    'tomorrow': tomorrow,
    'wines': wines.drop(columns='event_timestamp').astype(object).where(wines.notna(), None).to_dict('list'),
    'bottle': OnlineFeatures(store, 'bottle_id', ['wine_measurements:proline']).read([0])
        ['wine_measurements:proline'].outcomes(until + timedelta(days=4000)),
    'no view': refusal(lambda: OnlineFeatures(store, 'user_id', ['users:age'])),
    'no feature': refusal(lambda: OnlineFeatures(store, 'user_id', ['user_features:size'])),
    'other entity': refusal(lambda: OnlineFeatures(store, 'bottle_id', view_features)),
    'other ids': refusal(lambda: OnlineFeatures(store, 'user_id', view_features, ids_are_text=True)),
    'no folder': refusal(lambda: open_store(folder / 'nothing', address)),
    'no address': refusal(lambda: open_store(folder, 'redis')),
    'away': refusal(lambda: away.read([1])),
    'still away': refusal(lambda: away.read([1])),
    'counts in files': 'PROMETHEUS_MULTIPROC_DIR' in os.environ,
}, open(folder / 'found.json', 'w'))
"""


@dataclass(frozen=True)
class FilledStore:
    """The store, where its parts are, and what the process that filled it saw."""

    folder: Path
    redis: OwnRedis
    address: str
    until: datetime
    printed: Mapping[str, Any]
    found: Mapping[str, Any]


def asked(until: datetime) -> pd.DataFrame:
    """Users and times at which a training set wants to know what was known."""
    rows = [
        (user, until - timedelta(hours=hours, minutes=user))
        for user in (1, 2, 3, 57, 200)
        for hours in (0, 5, 24, 30, 100, 400, 24 * 29, 24 * 31)
    ]
    exact = [(1, until - timedelta(days=day)) for day in (0, 3, 29)]
    late = [(1, until + timedelta(hours=23)), (1, until + timedelta(hours=25)), (UNKNOWN_USER, until)]
    late += [(2, until), (2, until)]
    return pd.DataFrame(rows + exact + late, columns=["user_id", "event_timestamp"])


@pytest.fixture(scope="session")
def feature_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    folder = tmp_path_factory.mktemp("features")
    # What was materialised outlives its being killed.
    redis = OwnRedis(
        folder, automatic("127.0.0.1", None, set()), "--appendonly", "yes", "--appendfsync", "always"
    )
    redis.start()
    address, store = f"127.0.0.1:{redis.port}/1", folder / "store"
    until = datetime.now().astimezone()
    store.mkdir()
    asked(until).to_parquet(store / "asked.parquet")
    try:
        ran = subprocess.run(
            [
                *(settings.MODELS_PYTHON / "python", "-c", PROCESS, store),
                *(str(STALE_USER), str(RENEWED_USER), until.isoformat()),
            ],
            cwd=settings.BASE_DIR,
            env={
                "PATH": os.defpath,
                "HOME": str(folder),
                "FEATURE_ONLINE_URL": address,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert ran.returncode == 0, ran.stderr
        printed = json.loads(ran.stdout.splitlines()[0])
        found = json.loads((store / "found.json").read_text())
        yield FilledStore(store, redis, address, until, printed, found)
    finally:
        redis.stop()
