"""Fills the feature store: makes its data, applies its definitions, materialises them into Redis.

    FEATURE_ONLINE_URL=127.0.0.1:6379/1 python -m pipelines.features FOLDER [--until TIME]

FOLDER becomes the Feast repository that model servers are told of (FEATURE_STORE). Run it again whenever
features should be fresh: values of users are stale after a day. The users are made up, from a fixed seed, so
that the same user looks the same on every machine; the bottles are the UCI wine recognition set. Training
sets come from the history, each row with what was known at its time and nothing later.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import FeatureStore

from pipelines.feature_repo.definitions import OBJECTS
from pipelines.wine import load
from serving.errors import CannotLoad
from serving.feature_store import CONFIGURATION, open_store

REPOSITORY = Path(__file__).with_name("feature_repo")
SEED = 11
USERS = 200
DAYS = 30
"""So long is the history of each user; a snapshot a day."""
TIME = "event_timestamp"


def made_up_users(until: datetime) -> pd.DataFrame:
    """Daily snapshots of users 1 to 200: the last one is of `until`. Nobody real is behind them.

    `total_spend` only grows, and `avg_purchase` changes with every purchase: features that leak when a
    training set takes their newest values."""
    random = np.random.default_rng(SEED)
    age = random.integers(18, 80, USERS)
    bought = random.poisson(1.5, (DAYS, USERS)) + (np.arange(DAYS) == 0)[:, None]
    price = np.round(random.lognormal(3.0, 0.6, (DAYS, USERS)), 2)
    spent = np.cumsum(bought * price, axis=0)
    days = [until - timedelta(days=DAYS - 1 - day) for day in range(DAYS)]
    return pd.DataFrame(
        {
            "user_id": np.tile(np.arange(1, USERS + 1), DAYS),
            TIME: np.repeat(pd.DatetimeIndex(days), USERS),
            "age": np.tile(age, DAYS).astype(np.int64),
            "avg_purchase": (spent / np.cumsum(bought, axis=0)).ravel().astype(np.float32),
            "total_spend": spent.ravel().astype(np.float32),
        }
    )


def measured_bottles(until: datetime) -> pd.DataFrame:
    """The 178 wines, bottle 0 to 177, all measured at the beginning of the history."""
    frame, _ = load()
    measured = until - timedelta(days=DAYS)
    return frame.assign(bottle_id=np.arange(len(frame)), **{TIME: pd.Timestamp(measured)})


def fill(folder: Path, until: datetime, address: str) -> dict[str, int]:
    """Make the repository in `folder` with data up to `until`, and write it to the online store.

    Returns the number of entities per view. Raises CannotLoad, and redis-py's errors."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / CONFIGURATION, folder / CONFIGURATION)
    users, bottles = made_up_users(until), measured_bottles(until)
    users.to_parquet(folder / "data" / "users.parquet")
    bottles.to_parquet(folder / "data" / "bottles.parquet")
    store = open_store(folder, address)
    store.apply(OBJECTS)
    store.materialize(start_date=until - timedelta(days=DAYS + 1), end_date=until)
    return {"user_features": users["user_id"].nunique(), "wine_measurements": len(bottles)}


def training_set(store: FeatureStore, entities: pd.DataFrame, view_features: Sequence[str]) -> pd.DataFrame:
    """`entities` (join keys, `event_timestamp`, and whatever else) with the features as they were then.

    Feast joins point in time: of each entity the newest value that is not later than the row's time, and
    not older then than the view's time to live. Its file store leaves out rows for which there is none, and
    all but one of those with the same entity and time (its issue 6787): here every row comes back, in its
    place, its features null where nothing was known.
    """
    complete = entities.assign(**{TIME: pd.to_datetime(entities[TIME], utc=True)})
    views: dict[str, list[str]] = {}
    for each in view_features:
        views.setdefault(each.partition(":")[0], []).append(each)
    for view, features in views.items():  # one at a time: a row that is left out for one is there for another
        keys = [*store.get_feature_view(view).join_keys, TIME]
        wanted = complete[keys].drop_duplicates()
        known: pd.DataFrame = store.get_historical_features(wanted, features).to_df()
        complete = complete.merge(known, on=keys, how="left", validate="many_to_one")
    return complete


def moment(text: str) -> datetime:
    """A time of day as ISO 8601 writes it; without a zone it is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.features", description="Fill the store.")
    parser.add_argument("folder", type=Path, help="the Feast repository; made if it is not there")
    parser.add_argument("--until", type=moment, default=None, metavar="TIME", help="newest data; now")
    options = parser.parse_args(arguments)
    address = os.environ.get("FEATURE_ONLINE_URL")
    if not address:
        parser.error("FEATURE_ONLINE_URL has to say where the online store is: host:port/database")
    try:
        filled(options.folder.resolve(), options.until or datetime.now(UTC), address)
    except CannotLoad as error:
        parser.error(str(error))
    return 0


def filled(folder: Path, until: datetime, address: str) -> None:
    """Fill it, and print what was written as a line of JSON. Raises as `fill` does."""
    with contextlib.redirect_stdout(sys.stderr):  # Feast tells how far it is
        written = fill(folder, until, address)
    sys.stdout.write(json.dumps({"until": until.isoformat(), "entities": written}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
