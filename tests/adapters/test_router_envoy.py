"""What callers notice of the Envoy router: real requests through a real Envoy to two real servers."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from releases.adapters.metrics.envoy import EnvoyMetrics, EnvoyMetricsConfig
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Counters, Refused, Unreachable
from tests.adapters.engines import DELAY, STATUS, Gateway, Model, model

pytestmark = pytest.mark.stack

WINE = Route("acme", "production", "wine")
INFER = "/acme/production/v2/models/wine/infer"
BY_HEADER = "x-portal-deployment"


@pytest.fixture
def router(envoy: Gateway) -> EnvoyRouter:
    if envoy.process is None:
        envoy.start()
    layout = envoy.layout
    made = EnvoyRouter(EnvoyRouterConfig(str(layout.envoy_admin), layout.xds, envoy.url))
    made.remove([WINE])
    return made


def arms(red: Model, white: Model) -> tuple[Arm, Arm]:
    return Arm("wine-red", red.address), Arm("wine-white", white.address)


def counted(envoy: Gateway, ref: str) -> int:
    """Requests that the gateway counts for the deployment."""
    seen = EnvoyMetrics(EnvoyMetricsConfig(str(envoy.layout.envoy_admin))).read([ref])[ref]
    return seen.ok + seen.errors + seen.client_errors if isinstance(seen, Counters) else 0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_split_of_30_percent_reaches_both_and_names_who_answered(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(30), stable, candidate)})
    answers = [envoy.post(INFER) for _ in range(200)]
    who = Counter(answer.json()["model_name"] for answer in answers)
    # 200 draws with p = 0.3: outside of 30..95 once in a million runs.
    assert 30 <= who["white"] <= 95
    assert {(a.json()["model_name"], a.headers[BY_HEADER]) for a in answers} == {
        ("red", "wine-red"),
        ("white", "wine-white"),
    }
    assert red.paths[-1] == "/v2/models/wine/infer"


def test_candidate_with_weight_0_answers_by_header_only_and_is_not_counted(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(0), stable, candidate)})
    before = counted(envoy, candidate.ref)
    plain = [envoy.post(INFER).json()["model_name"] for _ in range(20)]
    asked = envoy.post(INFER, {BY_HEADER: candidate.ref})
    stranger = envoy.post(INFER, {BY_HEADER: "somebody-else"})
    assert plain == ["red"] * 20
    assert (asked.json()["model_name"], asked.headers[BY_HEADER]) == ("white", candidate.ref)
    assert stranger.json()["model_name"] == "red"
    assert counted(envoy, candidate.ref) == before


def test_shadow_gets_a_copy_that_is_counted_and_never_answers(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(0, shadow=True), stable, candidate)})
    copies, before = len(white.paths), counted(envoy, candidate.ref)
    answers = {envoy.post(INFER).json()["model_name"] for _ in range(20)}
    assert answers == {"red"}
    assert eventually(lambda: len(white.paths) == copies + 20)
    assert eventually(lambda: counted(envoy, candidate.ref) == before + 20)
    assert white.paths[-1] == "/v2/models/wine/infer"


def test_route_without_a_version_answers_503_with_a_sentence(
    envoy: Gateway, router: EnvoyRouter, white: Model
) -> None:
    candidate = Arm("wine-white", white.address)
    router.apply({WINE: RouteSetting(TrafficSplit(0), None, candidate)})
    answer = envoy.post(INFER)
    assert answer.status_code == 503
    assert answer.json() == {"error": "no version of wine is released in production"}
    assert envoy.post(INFER, {BY_HEADER: candidate.ref}).status_code == 200


def test_unknown_address_answers_404_with_a_sentence(envoy: Gateway, router: EnvoyRouter) -> None:
    answer = envoy.post("/acme/production/v2/models/winery/infer")
    assert (answer.status_code, answer.json()["error"]) == (404, "no model is served at this address")


def test_routes_survive_a_crash_of_the_gateway(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    setting = RouteSetting(TrafficSplit(10), stable, candidate)
    router.apply({WINE: setting})
    envoy.stop()
    envoy.start()
    assert eventually(lambda: router.read([WINE]) == {WINE: setting})


def test_rollback_while_the_gateway_is_down_is_in_effect_when_it_is_back(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(50), stable, candidate)})
    envoy.stop()
    rolled_back = RouteSetting(TrafficSplit(0), stable, None)
    with pytest.raises(Unreachable):
        router.apply({WINE: rolled_back})
    envoy.start()
    assert eventually(lambda: router.read([WINE]) == {WINE: rolled_back})


def test_weights_changed_by_somebody_else_are_seen(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(10), stable, candidate)})
    path = envoy.layout.xds / "rds.json"
    content = json.loads(path.read_text())
    for_all = content["resources"][0]["virtual_hosts"][0]["routes"][1]
    for_all["route"]["weighted_clusters"]["clusters"][0]["weight"] = 40
    for_all["route"]["weighted_clusters"]["clusters"][1]["weight"] = 60
    beside = path.with_suffix(".meddled")
    beside.write_text(json.dumps(content))
    beside.replace(path)
    meddled = RouteSetting(TrafficSplit(60), stable, candidate)
    assert eventually(lambda: router.read([WINE]) == {WINE: meddled})


def test_clusters_nobody_uses_are_dropped_by_a_later_change(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    stable, candidate = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(10), stable, candidate)})
    router.apply({WINE: RouteSetting(TrafficSplit(0), stable, None)})
    router.apply({WINE: RouteSetting(TrafficSplit(0), stable, None)})
    resources = json.loads((envoy.layout.xds / "cds.json").read_text())["resources"]
    assert [cluster["name"] for cluster in resources] == [stable.ref]


def test_broken_file_of_the_gateway_is_refused_and_kept(
    envoy: Gateway, router: EnvoyRouter, red: Model, tmp_path: Path
) -> None:
    broken = EnvoyRouter(EnvoyRouterConfig(str(envoy.layout.envoy_admin), tmp_path, envoy.url))
    (tmp_path / "rds.json").write_text('{"resources": [')
    setting = RouteSetting(TrafficSplit(0), Arm("wine-red", red.address), None)
    with pytest.raises(Refused, match=r"rds\.json"):
        broken.apply({WINE: setting})
    assert (tmp_path / "rds.json").read_text() == '{"resources": ['


@pytest.mark.parametrize(
    "asked", [{}, {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}], ids=["plain", "asking"]
)
def test_failed_prediction_is_not_tried_again_even_when_the_caller_asks(
    envoy: Gateway, router: EnvoyRouter, red: Model, asked: dict[str, str]
) -> None:
    router.apply({WINE: RouteSetting(TrafficSplit(0), Arm("wine-red", red.address), None)})
    before = len(red.paths)
    answer = envoy.post(INFER, {STATUS: "503", **asked})
    assert answer.status_code == 503
    assert len(red.paths) == before + 1


def test_request_under_way_outlives_its_route_and_its_cluster(
    envoy: Gateway, router: EnvoyRouter, red: Model, white: Model
) -> None:
    old, new = arms(red, white)
    router.apply({WINE: RouteSetting(TrafficSplit(0), old, None)})
    answers = []
    slow = threading.Thread(target=lambda: answers.append(envoy.post(INFER, {DELAY: "1.0"})))
    arrived = len(red.paths)
    slow.start()
    assert eventually(lambda: len(red.paths) > arrived)
    for _ in range(2):  # the second one drops the cluster
        router.apply({WINE: RouteSetting(TrafficSplit(0), new, None)})
    assert old.ref not in (envoy.layout.xds / "cds.json").read_text()
    assert answers == []
    slow.join(10)
    assert [(a.status_code, a.json()["model_name"]) for a in answers] == [(200, "red")]


def test_release_from_start_to_end_fails_no_request(envoy: Gateway, router: EnvoyRouter) -> None:
    """Canary, promotion, and the old server's end, under clients that never pause."""
    failed: list[int] = []
    answered = Counter[str]()
    over = threading.Event()

    def call() -> None:
        while not over.is_set():
            answer = envoy.post(INFER)
            if answer.status_code == 200:
                answered[answer.json()["model_name"]] += 1
            else:
                failed.append(answer.status_code)

    with model("new") as new:
        candidate = Arm("wine-new", new.address)
        with model("old") as old:
            stable = Arm("wine-old", old.address)
            router.apply({WINE: RouteSetting(TrafficSplit(0), stable, None)})
            clients = [threading.Thread(target=call) for _ in range(3)]
            for client in clients:
                client.start()
            for setting in (
                RouteSetting(TrafficSplit(0), stable, candidate),
                RouteSetting(TrafficSplit(10), stable, candidate),
                RouteSetting(TrafficSplit(50), stable, candidate),
                RouteSetting(TrafficSplit(100), stable, candidate),
                RouteSetting(TrafficSplit(0), candidate, None),
                RouteSetting(TrafficSplit(0), candidate, None),
            ):
                router.apply({WINE: setting})
                time.sleep(0.15)
        time.sleep(0.3)  # the old server is gone
        over.set()
        for client in clients:
            client.join(10)
    assert failed == []
    assert answered["old"] > 50
    assert answered["new"] > 50
