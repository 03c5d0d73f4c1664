"""The cache in front of a model, on a real Redis in good and in bad times."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from prometheus_client import REGISTRY

from serving import cache
from serving.answer_store import BREAK_SECONDS, PREFIX, AnswerStore
from serving.answers import noted
from serving.blocks import Opened
from serving.cache import CachedPredictor, Settings
from serving.canonical import cache_key
from serving.composed import load_members
from serving.cores import core_of
from serving.errors import CannotLoad
from tests.serving.composed import ROWS, assembled, core, save_coded, save_constant, write_spec
from tests.serving.own_redis import OwnRedis

FRAME = pd.DataFrame({"a": [1.0, 2.0]})
ANSWER = np.array([0.5, 0.7])
OUTPUTS = infer_signature(FRAME, ANSWER).outputs
QUICK = Settings(timeout_ms=2000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture
def redis(server: OwnRedis) -> OwnRedis:
    if not server.answers():
        server.start()
    server.client.config_set("maxmemory", 0)
    server.client.flushall()
    server.client.config_resetstat()
    return server


@dataclass
class Model:
    """Doubles its column, and knows how often it was asked."""

    answers: Any = None
    asked: int = 0
    params: list[Mapping[str, Any]] = field(default_factory=list)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        self.asked += 1
        self.params.append(params)
        return frame["a"].to_numpy() * 2 if self.answers is None else self.answers


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def cached(
    redis: OwnRedis,
    model: Any,
    identity: tuple[str, str] = ("wine", "1"),
    settings: Settings = QUICK,
    clock: Any = time.monotonic,
) -> CachedPredictor:
    store = AnswerStore(redis.url, settings.timeout_ms / 1000, clock)
    return CachedPredictor(model, store, settings, identity, OUTPUTS)


class Counts:
    """What the counters have counted since this was made."""

    def __init__(self) -> None:
        self._before = self._all()

    def _all(self) -> dict[str, float]:
        names = ("model_cache_hits", "model_cache_misses")
        return {
            sample.labels.get("why", "hit"): sample.value
            for family in REGISTRY.collect()
            if family.name in names
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def since(self) -> dict[str, float]:
        return {
            key: number - self._before.get(key, 0)
            for key, number in self._all().items()
            if number != self._before.get(key, 0)
        }


def test_second_request_is_answered_from_the_cache(redis: OwnRedis) -> None:
    model, counts = Model(), Counts()
    predictor = cached(redis, model)
    with noted() as first:
        answer = predictor.predict(FRAME, {})
    with noted() as second:
        again = predictor.predict(FRAME.copy(), {})
    assert again.tolist() == answer.tolist() == [2.0, 4.0]
    assert (first.is_from_cache, second.is_from_cache) == (False, True)
    assert model.asked == 1
    assert counts.since() == {"absent": 1, "hit": 1}


def test_another_version_gives_its_own_answer(redis: OwnRedis) -> None:
    stable, candidate = Model(), Model(answers=np.array([7.0, 8.0]))
    cached(redis, stable, ("wine", "1")).predict(FRAME, {})
    assert cached(redis, candidate, ("wine", "2")).predict(FRAME, {}).tolist() == [7.0, 8.0]
    assert cached(redis, candidate, ("beer", "1")).predict(FRAME, {}).tolist() == [7.0, 8.0]
    assert candidate.asked == 2


def test_other_parameters_or_rows_are_other_questions(redis: OwnRedis) -> None:
    model = Model()
    predictor = cached(redis, model)
    for frame, params in ((FRAME, {}), (FRAME, {"tier": "premium"}), (FRAME.head(1), {}), (FRAME * 2, {})):
        predictor.predict(frame, params)
    assert model.asked == 4


def test_answer_is_forgotten_after_its_time(redis: OwnRedis) -> None:
    cached(redis, Model(), settings=Settings(ttl_seconds=3600)).predict(FRAME, {})
    [stored] = redis.client.keys(f"{PREFIX}*")
    assert 3590 < redis.client.ttl(stored) <= 3600


def test_larger_answer_than_allowed_is_not_kept(redis: OwnRedis) -> None:
    model = Model()
    predictor = cached(redis, model, settings=Settings(max_value_bytes=100, timeout_ms=2000))
    for _ in range(2):
        predictor.predict(FRAME, {})
    assert model.asked == 2
    assert redis.client.keys("*") == []


def test_request_without_a_key_is_answered_by_the_model(redis: OwnRedis) -> None:
    model, counts = Model(), Counts()
    frame = FRAME.assign(b=pd.Categorical(["x", "y"]))
    cached(redis, model).predict(frame, {})
    assert model.asked == 1
    assert counts.since() == {"unkeyable": 1}


def test_answer_that_the_signature_does_not_promise_is_given_and_not_kept(redis: OwnRedis) -> None:
    answer = {"label": np.array([1])}
    assert cached(redis, Model(answers=answer)).predict(FRAME, {}) is answer
    assert redis.client.keys("*") == []


def test_answer_of_an_ensemble_without_a_member_is_given_and_not_kept(
    redis: OwnRedis, tmp_path: Path
) -> None:
    fails = "if (model_input['a'] > 4).any(): raise RuntimeError('no')\nreturn np.full(len(model_input), 3.0)"
    save_constant(tmp_path / "members" / "sound", 1.0)
    save_coded(tmp_path / "members" / "failing", fails)
    quorum = {"policy": "quorum", "at_least": 1}
    members = {"sound": None, "failing": None}
    spec = write_spec(tmp_path / "s.yaml", core("ensemble", members, combine="mean", on_failure=quorum))
    prepared = assembled(tmp_path, spec)
    loaded = load_members(["sound", "failing"], tmp_path)
    predictor = cached(redis, core_of(prepared.composition.core, loaded))
    for frame, answer, kept in ((ROWS.tail(1), 1.0, 0), (ROWS.head(1), 2.0, 1)):
        frame = frame.reset_index(drop=True)
        for _ in range(2):
            with noted() as note:
                assert predictor.predict(frame, {}).tolist() == [answer]
        assert note.is_incomplete == (not kept)
        assert len(redis.client.keys(f"{PREFIX}*")) == kept


def test_model_that_raises_is_not_cached_and_gives_the_lock_back(redis: OwnRedis) -> None:
    class Broken:
        def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
            raise RuntimeError("no")

    counts = Counts()
    with pytest.raises(RuntimeError, match="no"):
        cached(redis, Broken()).predict(FRAME, {})
    assert redis.client.keys("*") == []
    assert counts.since() == {"absent": 1}


POISON: dict[str, Any] = {
    "no JSON": lambda client, key: client.set(key, b"\x80\x04K\x01."),
    "too long": lambda client, key: client.set(key, b"x" * (QUICK.max_value_bytes + 1)),
    "another type of Redis": lambda client, key: client.rpush(key, "x"),
    "an answer to another request": lambda client, key: client.set(
        key, client.get(PREFIX + cache_key("wine", "1", FRAME * 2, {}))
    ),
}


@pytest.mark.parametrize("kind", POISON)
def test_poisoned_value_is_a_miss_and_is_replaced(redis: OwnRedis, kind: str) -> None:
    model = Model()
    predictor = cached(redis, model)
    predictor.predict(FRAME * 2, {})
    POISON[kind](redis.client, PREFIX + cache_key("wine", "1", FRAME, {}))
    counts = Counts()
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]
    assert model.asked == 2
    assert counts.since() == {"poisoned": 1, "hit": 1}


def test_redis_gone_in_the_middle_is_a_miss_and_used_again_when_it_is_back(redis: OwnRedis) -> None:
    model, clock, counts = Model(), Clock(), Counts()
    predictor = cached(redis, model, clock=clock)
    predictor.predict(FRAME, {})
    redis.stop()
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]
    redis.start()
    predictor.predict(FRAME, {})  # left alone for a while: it is not even asked
    assert counts.since() == {"absent": 1, "unreachable": 2}
    clock.now += BREAK_SECONDS
    predictor.predict(FRAME, {})
    predictor.predict(FRAME, {})
    assert counts.since() == {"absent": 2, "unreachable": 2, "hit": 1}


def test_redis_restarted_between_two_requests_costs_one_miss_only(redis: OwnRedis) -> None:
    predictor, counts = cached(redis, Model()), Counts()
    predictor.predict(FRAME, {})
    redis.stop()
    redis.start()
    predictor.predict(FRAME, {})
    predictor.predict(FRAME, {})
    assert counts.since() == {"absent": 2, "hit": 1}


def test_redis_that_hangs_costs_one_time_out_and_not_one_per_request(redis: OwnRedis) -> None:
    model, counts = Model(), Counts()
    predictor = cached(redis, model, settings=Settings(timeout_ms=20), clock=Clock())
    redis.client.execute_command("CLIENT", "PAUSE", 60_000, "ALL")
    started = time.monotonic()
    for _ in range(50):
        predictor.predict(FRAME, {})
    spent = time.monotonic() - started
    redis.stop()
    assert counts.since() == {"unreachable": 50}
    assert spent < 50 * 0.02  # each with its own time-out would have taken longer


def test_full_redis_is_a_miss_and_what_it_holds_is_still_used(redis: OwnRedis) -> None:
    model = Model()
    predictor = cached(redis, model)
    predictor.predict(FRAME, {})
    redis.client.config_set("maxmemory-policy", "noeviction")
    redis.client.config_set("maxmemory", 1)
    counts = Counts()
    predictor.predict(FRAME, {})
    for _ in range(2):
        assert predictor.predict(FRAME * 2, {}).tolist() == [4.0, 8.0]
    assert counts.since() == {"hit": 1, "full": 2}


def test_full_redis_without_waiting_for_others_is_counted_as_full(redis: OwnRedis) -> None:
    redis.client.config_set("maxmemory", 1)
    counts = Counts()
    cached(redis, Model(), settings=Settings(wait_ms=0, timeout_ms=2000)).predict(FRAME, {})
    assert counts.since() == {"full": 1}


def test_process_that_waits_in_vain_computes_itself(redis: OwnRedis) -> None:
    key = PREFIX + cache_key("wine", "1", FRAME, {})
    redis.client.set(f"{key}:lock", "somebody who is slow")
    model, counts = Model(), Counts()
    predictor = cached(redis, model, settings=Settings(wait_ms=30, timeout_ms=2000))
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]
    assert counts.since() == {"busy": 1}
    assert redis.client.get(f"{key}:lock") == b"somebody who is slow"
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]
    assert counts.since() == {"busy": 1, "hit": 1}


PROCESS = """
import json, sys
import pandas as pd
from redis import Redis
from mlflow.models import infer_signature
from prometheus_client import REGISTRY
from serving.answer_store import AnswerStore
from serving.cache import CachedPredictor, Settings
redis = Redis.from_url(sys.argv[1], socket_timeout=60)
class Slow:
    def predict(self, frame, params):
        redis.rpush('computing', 'one')
        redis.blpop('finish', 20)
        return frame['a'].to_numpy() * 2
frame = pd.DataFrame({'a': [1.0, 2.0]})
outputs = infer_signature(frame, frame['a'].to_numpy()).outputs
settings = Settings(wait_ms=10000, timeout_ms=2000)
predictor = CachedPredictor(Slow(), AnswerStore(sys.argv[1], 2), settings, ('wine', '1'), outputs)
redis.rpush('ready', 'one')
redis.blpop('go', 50)
answer = predictor.predict(frame, {}).tolist()
hits = REGISTRY.get_sample_value('model_cache_hits_total')
print(json.dumps([answer, hits]))
"""


def test_two_processes_that_are_asked_the_same_compute_it_once(redis: OwnRedis) -> None:
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, redis.url], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for _ in processes:
            assert redis.client.blpop(["ready"], 50)
        redis.client.rpush("go", "one", "two")
        while not redis.client.exists("computing") or reads(redis) < 5:
            assert all(process.poll() is None for process in processes)
        redis.client.rpush("finish", "one", "two")  # the second one would be taken by a second computation
        answers = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert sorted(answers) == [[[2.0, 4.0], 0], [[2.0, 4.0], 1]]
    assert redis.client.llen("computing") == 1


def reads(redis: OwnRedis) -> int:
    """How often answers were looked for: two looks of who computes, more of who waits."""
    found: Any = redis.client.info("commandstats")
    return int(found.get("cmdstat_getrange", {}).get("calls", 0))


def opened() -> Opened:
    signature = ModelSignature(infer_signature(FRAME).inputs, OUTPUTS)
    return Opened(model="wine", identity="1", artifacts=Path(), signature=signature)


def test_model_without_the_address_of_its_redis_refuses_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_CACHE_URL", raising=False)
    with pytest.raises(CannotLoad, match="MODEL_CACHE_URL is not set"):
        cache.wrap(vars_of(Settings()), opened(), Model())


def test_address_that_is_none_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_CACHE_URL", "http://:hunter2@redis")
    with pytest.raises(CannotLoad, match="MODEL_CACHE_URL is not an address of Redis") as raised:
        cache.wrap(vars_of(Settings()), opened(), Model())
    assert "hunter2" not in str(raised.value)


def test_model_loads_while_its_redis_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODEL_CACHE_URL", f"unix://{tmp_path}/nothing.sock")
    predictor = cache.wrap(vars_of(Settings()), opened(), Model())
    assert predictor.predict(FRAME, {}).tolist() == [2.0, 4.0]


def vars_of(settings: Settings) -> dict[str, int]:
    return {name: getattr(settings, name) for name in settings.__slots__}
