"""The feature store on real engines: what is in it, how old it is, and what a training set may know."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.feature_store import FilledStore, asked

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]  # the first test waits for the store

FEATURES = ["age", "avg_purchase", "total_spend"]


@pytest.fixture(scope="module")
def users(feature_store: FilledStore) -> pd.DataFrame:
    """The history of the users, as the offline store has it."""
    return pd.read_parquet(feature_store.folder / "data" / "users.parquet")


def newest(users: pd.DataFrame, row: Mapping[str, Any]) -> list[float | None]:
    """What was known of one user at one time, found by hand."""
    known = users[
        (users["user_id"] == row["user_id"])
        & (users["event_timestamp"] <= row["event_timestamp"])
        & (users["event_timestamp"] >= row["event_timestamp"] - pd.Timedelta(days=1))
    ].sort_values("event_timestamp")
    return [None] * len(FEATURES) if known.empty else known.iloc[-1][FEATURES].astype(float).tolist()


def test_command_says_what_it_wrote(feature_store: FilledStore) -> None:
    assert feature_store.printed == {
        "until": feature_store.until.isoformat(),
        "entities": {"user_features": 200, "wine_measurements": 178},
    }


def test_training_set_knows_what_was_known_then_and_nothing_later(
    feature_store: FilledStore, users: pd.DataFrame
) -> None:
    found = pd.read_parquet(feature_store.folder / "training.parquet")
    rows = asked(feature_store.until)
    assert found["user_id"].tolist() == rows["user_id"].tolist()
    assert (found["event_timestamp"] == rows["event_timestamp"]).all()
    changed = 0
    for row, values in zip(rows.to_dict("records"), found[FEATURES].itertuples(index=False), strict=True):
        wanted = newest(users, row)
        assert [None if pd.isna(value) else float(value) for value in values] == wanted
        now = newest(users, row | {"event_timestamp": pd.Timestamp(feature_store.until)})
        changed += wanted != now
    assert changed > 20  # so many rows would be wrong with the values of today


def test_online_store_has_the_newest_values_with_their_age(
    feature_store: FilledStore, users: pd.DataFrame
) -> None:
    found = feature_store.found
    last = users[users["event_timestamp"] == users["event_timestamp"].max()].set_index("user_id")
    for feature in FEATURES:
        values = found["values"][f"user_features:{feature}"]
        assert values[:2] == [pytest.approx(last[feature][user]) for user in (1, 2)]
        assert values[2] is None
        assert found["outcomes"][f"user_features:{feature}"] == ["found", "found", "missing", "stale"]
        assert found["tomorrow"][f"user_features:{feature}"] == ["stale", "stale", "missing", "stale"]


def test_bottles_are_the_real_wines_whatever_is_known_of_who_asks(feature_store: FilledStore) -> None:
    assert feature_store.found["wines"] == {
        "bottle_id": [0, 177],
        "user_id": [1, 1000],
        "age": [26, None],
        "proline": [1065.0, 560.0],
        "alcohol": [14.23, 14.13],
    }


def test_bottles_do_not_get_stale(feature_store: FilledStore) -> None:
    assert feature_store.found["bottle"] == ["found"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no view", "CannotLoad: the feature store has no view users"),
        ("no feature", "CannotLoad: the view user_features has no feature size; it has age, avg_purchase"),
        ("other entity", "CannotLoad: the view user_features is looked up by user_id, not by bottle_id"),
        ("other ids", "CannotLoad: user_id is a number in the feature store, and text in this model"),
        ("no folder", "CannotLoad: FEATURE_STORE: there is no feature_store.yaml"),
        ("no address", "CannotLoad: FEATURE_ONLINE_URL is not host:port/database"),
        ("away", "StoreUnreachable: Error 111 connecting to 127.0.0.1:1"),
        ("still away", "StoreUnreachable: the online store did not answer a moment ago"),
    ],
)
def test_what_the_store_cannot_do_is_said(feature_store: FilledStore, what: str, message: str) -> None:
    assert feature_store.found[what].startswith(message)


def test_feast_does_not_send_the_counters_of_a_model_server_into_files(feature_store: FilledStore) -> None:
    assert feature_store.found["counts in files"] is False


def test_made_up_users_are_the_same_everywhere(feature_store: FilledStore, users: pd.DataFrame) -> None:
    last = users[users["event_timestamp"] == users["event_timestamp"].max()]
    assert last["age"].between(18, 79).all()
    assert json.loads(last[["user_id", "age"]].head(3).to_json(orient="values")) == [
        [1, 26],
        [2, 25],
        [3, 67],
    ]
    spent = users.pivot_table(index="event_timestamp", columns="user_id", values="total_spend").to_numpy()
    assert (np.diff(spent, axis=0) >= 0).all()
