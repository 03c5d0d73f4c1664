"""Static files as the web process serves them."""

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from mlops_portal.asgi import with_files


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Stands behind the files and says so."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"from", b"behind")]})
    await send({"type": "http.response.body", "body": b""})


def ask(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One GET."""

    async def go() -> tuple[int, dict[str, str], bytes]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
        }
        caller = ApplicationCommunicator(with_files(application), scope)
        await caller.send_input({"type": "http.request", "body": b""})
        start, body = await caller.receive_output(5), b""
        while True:
            part = await caller.receive_output(5)
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        told = {name.decode(): text.decode() for name, text in start["headers"]}
        return start["status"], told, body

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/plotly/plotly.min.js", "text/javascript"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css", "text/css"),
    ],
)
def test_file_is_served_from_where_it_lies_and_not_again_when_it_is_known(path: str, kind: str) -> None:
    status, headers, body = ask(path)
    assert status == 200
    assert headers["content-type"].startswith(kind)
    assert headers["x-content-type-options"] == "nosniff"
    assert len(body) == int(headers["content-length"]) > 10_000
    assert ask(path, **{"if-none-match": headers["etag"]})[0] == 304


@pytest.mark.parametrize("path", ["/static/none.js", "/static/../manage.py", "/static/", "/", "/t/acme/"])
def test_path_that_is_no_file_goes_to_the_application(path: str) -> None:
    assert ask(path)[:2] == (404, {"from": "behind"})
