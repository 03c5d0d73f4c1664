"""What every model gateway promises: the fake and real HTTP alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from releases.adapters.gateway.http import HttpGateway
from releases.ports import Answer, ModelGateway, Unreachable
from tests.adapters.engines import DELAY, STATUS, Model, model
from tests.fakes_outside import EXAMPLE, Call, FakeGateway


@dataclass
class Subject:
    gateway: ModelGateway
    url: str
    go_away: Callable[[], object]


def fake(request: pytest.FixtureRequest) -> Subject:
    def respond(call: Call) -> Answer:
        return Answer(int(call.headers.get(STATUS, 200)), {"outputs": []}, 0.01)

    gateway = FakeGateway(respond=respond)
    return Subject(gateway, "http://gateway.test/wine", lambda: setattr(gateway, "reachable", False))


def http(request: pytest.FixtureRequest) -> Subject:
    server: Model = request.getfixturevalue("server")
    url = f"http://{server.address}/v2/models/wine"
    return Subject(HttpGateway(), url, lambda: stop(server))


def stop(server: Model) -> None:
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def server() -> Iterator[Model]:
    with model("wine") as running:
        yield running


@pytest.fixture(params=[fake, http])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


@pytest.mark.parametrize("status", [200, 400, 500, 503])
def test_infer_returns_every_http_status_as_an_answer(subject: Subject, status: int) -> None:
    answer = subject.gateway.infer(subject.url, EXAMPLE, {STATUS: str(status)}, 5)
    assert answer.status == status
    assert answer.body is not None
    assert answer.body["outputs"] == []
    assert answer.seconds >= 0


def test_infer_without_an_answer_is_unreachable(subject: Subject) -> None:
    subject.go_away()
    with pytest.raises(Unreachable, match="wine"):
        subject.gateway.infer(subject.url, EXAMPLE, {}, 1)


def test_http_gateway_posts_to_infer(server: Model) -> None:
    HttpGateway().infer(f"http://{server.address}/v2/models/wine", EXAMPLE, {}, 5)
    assert server.paths == ["/v2/models/wine/infer"]


def test_http_gateway_measures_the_seconds(server: Model) -> None:
    answer = HttpGateway().infer(f"http://{server.address}/wine", EXAMPLE, {DELAY: "0.2"}, 5)
    assert 0.2 <= answer.seconds < 2


def test_http_gateway_that_waits_too_long_is_unreachable(server: Model) -> None:
    with pytest.raises(Unreachable, match=r"within 0\.2 s"):
        HttpGateway().infer(f"http://{server.address}/wine", EXAMPLE, {DELAY: "1"}, 0.2)


@pytest.mark.parametrize("content", [b"upstream connect error", b"[1, 2]", b"", b"\xff"])
def test_http_gateway_gives_no_body_for_what_is_no_json_object(content: bytes) -> None:
    with model("wine", content) as server:
        answer = HttpGateway().infer(f"http://{server.address}/wine", EXAMPLE, {}, 5)
    assert (answer.status, answer.body) == (200, None)


@pytest.mark.parametrize("url", ["http://[::1", "gateway.test/wine", "ftp://gateway.test"])
def test_http_gateway_with_a_bad_address_is_unreachable(url: str) -> None:
    with pytest.raises(Unreachable):
        HttpGateway().infer(url, EXAMPLE, {}, 1)
