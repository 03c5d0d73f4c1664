"""Patience: what is tried again, for how long, and what is never tried again blindly. The clock is turned."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from portal_cli.configuration import Connection
from portal_cli.errors import NotReachable, Unsure
from portal_cli.http import Http, Patience
from tests.cli.front import Answer, Front


class Clock:
    """Time goes by only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pauses: list[float] = []
        self.notices: list[str] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def front() -> Iterator[Front]:
    """It answers everything itself."""
    front = Front("http://127.0.0.1:9")
    yield front
    front.close()


@pytest.fixture
def http(front: Front, clock: Clock) -> Iterator[Http]:
    """Two minutes of patience."""
    patience = Patience(120.0, clock, clock.sleep, clock.notices.append)
    client = Http(Connection(front.url, "acme", "secret"), patience)
    yield client
    client.close()


def answers(front: Front, *given: Answer) -> None:
    """One after the other, the last one for ever."""
    waiting = list(given)
    front.answer_instead = lambda line: waiting.pop(0) if len(waiting) > 1 else waiting[0]


OK = (200, {"Content-Type": "application/json"}, b'{"a": 1}')
AWAY = (503, {}, b"")


def test_http_trouble_lasts_no_longer_than_the_patience(http: Http, front: Front, clock: Clock) -> None:
    front.close()
    with pytest.raises(NotReachable, match=r"is not reachable .* Tried \d+ times in 120 s"):
        http.get("releases/")
    assert sum(clock.pauses) == pytest.approx(120)
    assert max(clock.pauses) <= 15
    assert len(clock.notices) == 1


def test_http_patience_is_for_trouble_in_a_row(http: Http, front: Front, clock: Clock) -> None:
    for _ in range(5):
        answers(front, *[AWAY] * 8, OK)
        assert http.get("releases/") == {"a": 1}
    assert sum(clock.pauses) > 120


def test_http_does_not_go_on_beyond_the_deadline(http: Http, front: Front, clock: Clock) -> None:
    answers(front, AWAY)
    http.patience.until = clock.now + 7
    with pytest.raises(NotReachable):
        http.get("releases/")
    assert sum(clock.pauses) == pytest.approx(7)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        (lambda: "40", 40, 40),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True), 30, 41),
        (lambda: "soon", 0, 1),
        (lambda: "-5", 0, 1),
    ],
)
def test_http_pauses_as_long_as_the_portal_asks(
    http: Http, front: Front, clock: Clock, text: Callable[[], str], least: float, most: float
) -> None:
    answers(front, (429, {"Retry-After": text()}, b""), OK)
    assert http.get("releases/") == {"a": 1}
    [pause] = clock.pauses
    assert least <= pause <= most


def test_http_act_that_may_have_been_done_is_not_repeated(http: Http, front: Front, clock: Clock) -> None:
    for trouble in (AWAY, (500, {}, b"")):
        answers(front, trouble, OK)
        with pytest.raises(Unsure):
            http.post("releases/x/promote/", {})
    front.lose = lambda line: True
    with pytest.raises(Unsure):
        http.post("releases/x/promote/", {})
    assert clock.pauses == []


def test_http_act_that_cannot_have_been_done_is_repeated(http: Http, front: Front, clock: Clock) -> None:
    answers(front, (429, {"Retry-After": "1"}, b""), OK)
    assert http.post("releases/x/promote/", {}) == {"a": 1}
    assert len(clock.pauses) == 1


def test_http_redirect_gets_no_token(http: Http, front: Front) -> None:
    other = Front("http://127.0.0.1:9")
    try:
        answers(front, (307, {"Location": f"{other.url}/api/"}, b""))
        with pytest.raises(NotReachable, match="sends on to"):
            http.get("releases/")
        assert other.requests == []
    finally:
        other.close()
