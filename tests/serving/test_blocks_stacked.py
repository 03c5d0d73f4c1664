"""Encrypted, cached and with features, all in one model: under a real MLServer, Redis and Feast store."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.feature_store import RENEWED_USER, STALE_USER, UNKNOWN_USER, FilledStore
from tests.serving.model_server import ModelServer, serving_models

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]  # the first test waits for all engines
KEY = Fernet.generate_key().decode()
MARK = "nobody-may-read-this"
COUNTERS = ("model_cache_hits", "model_cache_misses", "model_features", "model_predictions")

# The member adds up what it is given, so that an answer shows what arrived, and in which column.
COMPOSE = """
import sys
from pathlib import Path
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import Schema
from mlflow.types.schema import ColSpec
from tests.serving import composed

folder = Path(sys.argv[1])
(folder / 'composing' / 'members').mkdir(parents=True)
example = pd.DataFrame(
    {'avg_purchase': [1.0, 2.0], 'basket': [3.0, 4.0], 'age': [5, 6], 'total_spend': [7.0, 8.0]}
).astype({'avg_purchase': 'float32', 'total_spend': 'float32'})
signature = ModelSignature(
    Schema([ColSpec('float', 'avg_purchase'), ColSpec('double', 'basket'), ColSpec('long', 'age'),
            ColSpec('float', 'total_spend')]),
    Schema([ColSpec('double', 'score')]),
)
body = '''mark = '%s'
score = model_input['basket'] + 1000 * model_input['age'] + 1e-3 * model_input['total_spend']
return pd.DataFrame({'score': score.astype(float)})''' % sys.argv[2]
composed.save_coded(folder / 'composing' / 'members' / 'sum', body, signature, example)
view = 'user_features:'
asked = composed.write_spec(
    folder / 'spec.yaml',
    composed.core('single', {'sum': None}),
    cache={'timeout_ms': 2000},
    features={
        'entity': 'user_id',
        'view_features': [view + 'age', view + 'avg_purchase', view + 'total_spend'],
        'example_ids': [1, 2],
        'on_missing': 'default',
        'on_unreachable': 'default',
        'defaults': {'age': 1, 'avg_purchase': 0.0, 'total_spend': 0.0},
    },
    encryption={},
)
composed.saved(composed.assembled(folder / 'composing', asked), folder)
"""


@dataclass(frozen=True)
class Served:
    """A composed model in a model server."""

    model: Path
    server: ModelServer

    def infer(self, *rows: tuple[int, float]) -> httpx.Response:
        """The answer to rows of (user, basket)."""
        columns = {
            "user_id": ("INT64", [row[0] for row in rows]),
            "basket": ("FP64", [row[1] for row in rows]),
        }
        body = {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {"name": name, "datatype": kind, "shape": [len(values), 1], "data": values}
                for name, (kind, values) in columns.items()
            ],
        }
        return self.server.client.post("/models/stacked/infer", json=body)

    def scores(self, *rows: tuple[int, float]) -> list[float]:
        answer = self.infer(*rows)
        assert answer.status_code == 200, answer.text
        [output] = answer.json()["outputs"]
        assert output["name"] == "score"
        return list(output["data"])

    def counts(self) -> dict[str, float]:
        """The counters of the blocks and of predictions, as the portal reads them."""
        counts: dict[str, float] = {}
        for family in text_string_to_metric_families(httpx.get(self.server.metrics_url, timeout=10).text):
            for sample in family.samples:
                if family.name in COUNTERS and sample.name.endswith("_total"):
                    why = sample.labels.get("why") or sample.labels.get("outcome")
                    key = family.name.removeprefix("model_") + (f".{why}" if why else "")
                    counts[key] = counts.get(key, 0) + sample.value
        return counts


@pytest.fixture(scope="module")
def environment(feature_store: FilledStore) -> Mapping[str, str]:
    """What the portal gives to processes of models."""
    return {
        "MODEL_CACHE_URL": f"redis://127.0.0.1:{feature_store.redis.port}/0",
        "MODEL_ENCRYPTION_KEY": KEY,
        "FEATURE_STORE": str(feature_store.folder),
        "FEATURE_ONLINE_URL": feature_store.address,
    }


@pytest.fixture(scope="module")
def model(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacked")
    command = [settings.MODELS_PYTHON / "python", "-c", COMPOSE, folder, MARK]
    ran = subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "model"


@pytest.fixture(scope="module")
def served(
    model: Path, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with serving_models(folder, {"stacked": model}, environment) as server:
        yield Served(model, server)


@pytest.fixture
def changes(served: Served) -> Callable[[], dict[str, float]]:
    """What has been counted since the test began."""
    before = served.counts()
    return lambda: {
        key: number - before.get(key, 0)
        for key, number in served.counts().items()
        if number != before.get(key, 0)
    }


@pytest.fixture(scope="module")
def known(feature_store: FilledStore) -> pd.DataFrame:
    users = pd.read_parquet(feature_store.folder / "data" / "users.parquet")
    return users[users["event_timestamp"] == users["event_timestamp"].max()].set_index("user_id")


def score(known: pd.DataFrame, user: int, basket: float) -> Any:
    return pytest.approx(basket + 1000 * known["age"][user] + 1e-3 * known["total_spend"][user], rel=1e-6)


def test_stacked_model_keeps_the_answer_of_its_core_and_asks_for_the_entity(served: Served) -> None:
    described = served.server.client.get("/models/stacked").json()
    assert [(each["name"], each["datatype"]) for each in described["inputs"]] == [
        ("user_id", "INT64"),
        ("basket", "FP64"),
    ]
    assert [(each["name"], each["datatype"]) for each in described["outputs"]] == [("score", "FP64")]


def test_stacked_model_answers_by_user(served: Served, known: pd.DataFrame) -> None:
    assert served.scores((1, 0.25), (7, 0.5)) == [score(known, 1, 0.25), score(known, 7, 0.5)]


def test_second_request_is_a_hit_and_no_prediction(
    served: Served, changes: Callable[[], dict[str, float]]
) -> None:
    first, second = (served.infer((3, 1.0), (4, 2.0)).json()["outputs"] for _ in range(2))
    assert first == second
    assert changes() == {"cache_misses.absent": 1, "cache_hits": 1, "features.found": 4, "predictions": 1}


def test_changed_feature_is_not_answered_from_the_cache(
    served: Served, feature_store: FilledStore, known: pd.DataFrame, changes: Callable[[], dict[str, float]]
) -> None:
    assert served.scores((5, 3.0)) == [score(known, 5, 3.0)]
    forget(feature_store, 5)
    assert served.scores((5, 3.0)) == [1003.0]
    assert changes() == {
        "cache_misses.absent": 2,
        "features.found": 1,
        "features.missing": 1,
        "predictions": 2,
    }


def forget(feature_store: FilledStore, user: int) -> None:
    """Take a user out of the online store."""
    online = Redis(port=feature_store.redis.port, db=1)
    written = b"\x04\x00\x00\x00\x08\x00\x00\x00" + user.to_bytes(8, "little")
    [key] = [key for key in online.scan_iter() if b"user_id" in key and written in key]
    online.delete(key)


def test_unknown_user_gets_the_default_and_a_renewed_one_its_new_values(served: Served) -> None:
    found = served.scores((UNKNOWN_USER, 0.5), (RENEWED_USER, 0.5))
    assert found == [1000.5, pytest.approx(33000.502)]


def test_stale_user_is_refused_in_words(served: Served, changes: Callable[[], dict[str, float]]) -> None:
    answer = served.infer((1, 0.0), (STALE_USER, 0.0))
    assert answer.status_code == 500
    words = f"age, avg_purchase, total_spend are stale for user_id {STALE_USER}, and the policy on_stale"
    assert words in answer.text
    assert changes() == {"features.found": 1, "features.stale": 1}


def test_request_without_rows_is_the_callers_mistake(served: Served) -> None:
    answer = served.infer()
    assert answer.status_code == 400
    assert "no rows" in answer.text


def test_loaded_server_holds_nothing_of_the_member_on_the_disk(served: Served) -> None:
    files = [path for path in served.model.rglob("*") if path.is_file()]
    assert not any(MARK.encode() in path.read_bytes() for path in files)
    links = [
        os.readlink(path) for path in Path(f"/proc/{served.server.pid}/fd").iterdir() if path.is_symlink()
    ]
    assert not any("memfd:" in link for link in links)


def test_server_with_a_wrong_key_says_so_and_ends(
    model: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    wrong = {**environment, "MODEL_ENCRYPTION_KEY": Fernet.generate_key().decode()}
    said = "no key in MODEL_ENCRYPTION_KEY opens this model"
    with pytest.raises(AssertionError, match=said), serving_models(tmp_path, {"stacked": model}, wrong):
        pass


def test_redis_gone_in_the_middle_is_survived(
    served: Served, feature_store: FilledStore, changes: Callable[[], dict[str, float]]
) -> None:
    served.scores((6, 1.0))
    feature_store.redis.stop()
    try:
        assert served.scores((6, 1.0), (7, 2.0)) == [1001.0, 1002.0]
        assert served.scores((6, 1.0), (7, 2.0)) == [1001.0, 1002.0]
    finally:
        feature_store.redis.start()
    assert changes() == {
        "cache_misses.absent": 1,
        "cache_misses.unreachable": 2,
        "features.found": 1,
        "features.unreachable": 4,
        "predictions": 3,
    }
