"""Lists: walked by cursor to the last row and back, and nothing guessed."""

from base64 import b64encode
from urllib.parse import urlsplit

import pytest

from tests import factories
from tests.api.conftest import HERE, Call, Scene
from tests.api.test_problems import assert_problem

LISTS = [
    *("models/", "models/wine/versions/", "environments/", "endpoints/", "releases/", "audit/", "tokens/"),
    *(f"releases/{{canary}}/{part}/" for part in ("transitions", "samples", "checks", "approvals")),
]


def tail(address: str) -> str:
    """What stands behind the tenant in an absolute address."""
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("http", "127.0.0.1:8000")
    return f"{parts.path}?{parts.query}".removeprefix(HERE)


def test_list_is_walked_to_its_end_and_back(call: Call, scene: Scene) -> None:
    names = sorted(factories.model(scene.cast.acme, f"m-{number:02}").name for number in range(7))
    names += ["cider", "mead", "wine"]
    seen, pages, path = [], [], "models/?limit=4"
    while path:
        page = call("get", path).json()
        assert list(page) == ["next", "previous", "results"]
        pages.append([row["name"] for row in page["results"]])
        seen += pages[-1]
        path = tail(page["next"]) if page["next"] else ""
    assert seen == sorted(names)
    assert [len(rows) for rows in pages] == [4, 4, 2]
    back = call("get", tail(page["previous"])).json()
    assert [row["name"] for row in back["results"]] == pages[1]


def test_list_row_added_meanwhile_is_neither_repeated_nor_moves_others(call: Call, scene: Scene) -> None:
    first = call("get", "releases/?limit=2").json()
    factories.release(scene.at_mead, scene.ended.version)
    second = call("get", tail(first["next"])).json()
    ids = [row["id"] for row in first["results"] + second["results"]]
    assert ids == [scene.ended.pk, scene.waiting.pk, scene.paused.pk, scene.canary.pk]


def test_list_keeps_its_filter_from_page_to_page(call: Call, scene: Scene) -> None:
    first = call("get", "releases/?environment=production&limit=1").json()
    second = call("get", tail(first["next"])).json()
    assert [row["environment"] for row in second["results"]] == ["production"]
    assert "environment=production" in second["next"]


BAD_LIMITS = ["0", "201", "-1", "x", "1.5", "", "²", "9" * 50]


def cursor(text: str) -> str:
    """A cursor that somebody made up."""
    return b64encode(text.encode()).decode().replace("=", "%3D").replace("+", "%2B")


MADE_UP = ["x", "%ff", *(cursor(text) for text in ("p=%00", "o=-1", "o=x", "r=x"))]
ODD_POSITIONS = ["", "abc", "1e999", "9" * 400, "2026-13-99", "0001-01-01", "';--", "%ED%A0%80"]


@pytest.mark.parametrize("path", LISTS)
def test_list_limit_that_makes_no_sense_is_422(call: Call, path: str) -> None:
    for limit in BAD_LIMITS:
        problem = assert_problem(call("get", f"{path}?limit={limit}"), 422, "invalid")
        assert list(problem["errors"]) == ["limit"]


@pytest.mark.parametrize("path", LISTS)
def test_list_cursor_that_was_made_up_is_422(call: Call, path: str) -> None:
    for text in MADE_UP:
        problem = assert_problem(call("get", f"{path}?cursor={text}"), 422, "invalid")
        assert list(problem["errors"]) == ["cursor"]


@pytest.mark.parametrize("path", LISTS)
def test_list_cursor_with_an_odd_position_never_breaks(call: Call, path: str) -> None:
    for position in ODD_POSITIONS:
        answer = call("get", f"{path}?cursor={cursor('p=' + position)}")
        assert answer.status_code in (200, 422), position


def test_list_unknown_parameter_is_named(call: Call) -> None:
    assert list(assert_problem(call("get", "models/?sort=name"), 422, "invalid")["errors"]) == ["sort"]
