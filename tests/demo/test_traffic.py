"""The demo's traffic against a real HTTP server: its pace, and who is blamed for what."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlops_portal.demo.traffic import NOBODY, Tally, Traffic, version_in

GOOD, BAD = "acme-production-wine-v1-0-0-9f3ac1d2", "acme-production-wine-v2-0-0-00c0ffee"


class Answers(BaseHTTPRequestHandler):
    """Good versions answer; the bad one fails; a request for nothing is cut off."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"cut":
            self.close_connection = True
            return
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("x-portal-deployment", BAD if body == b"bad" else GOOD)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/infer"
    server.shutdown()
    server.server_close()


def send(url: str, tmp_path: Path, rows: bytes, seconds: float = 1.0) -> Tally:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows)
    traffic = Traffic(url, {}, file, rate=60)
    traffic.start()
    time.sleep(seconds)
    traffic.stop()
    return traffic.tally


def test_traffic_keeps_its_rate_and_counts_every_answer(url: str, tmp_path: Path) -> None:
    tally = send(url, tmp_path, b"good\n", seconds=2)

    assert 100 <= tally.total <= 122
    assert tally.requests == {"1.0.0": tally.total}
    assert (tally.total_failed, tally.skipped) == (0, 0)
    assert abs(tally.last_sent["1.0.0"] - time.time()) < 1
    assert tally.refs == {"1.0.0": GOOD}


def test_capacity_is_what_is_answered_well_and_is_not_in_the_tally(url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    found = {}
    for row in ("good", "bad"):
        file.write_text(f"{row}\n")
        traffic = Traffic(url, {}, file, rate=1)
        found[row] = traffic.capacity(seconds=0.5)
        assert traffic.tally.total == 0
    assert found["good"] > 20
    assert found["bad"] == 0


def test_rate_may_be_changed_meanwhile(url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("good\n")
    traffic = Traffic(url, {}, file, rate=100)
    traffic.start()
    time.sleep(1)
    traffic.rate, before = 1, traffic.tally.total
    time.sleep(1)
    traffic.stop()
    assert traffic.tally.total - before < 10 < before


def test_traffic_blames_failures_on_who_answered(url: str, tmp_path: Path) -> None:
    tally = send(url, tmp_path, b"good\nbad\n")

    assert tally.failed == {"2.0.0": tally.requests["2.0.0"]}
    assert tally.requests["1.0.0"] > 0
    assert tally.examples == {"2.0.0": "500 {}"}


def test_traffic_without_an_answer_counts_it_as_failed(url: str, tmp_path: Path) -> None:
    tally = send(url, tmp_path, b"cut\n")

    assert tally.total == tally.total_failed == tally.statuses[0] > 0
    assert set(tally.failed) == {NOBODY}


@pytest.mark.parametrize(
    ("ref", "version"),
    [(GOOD, "1.0.0"), ("acme-production-wine-v1-10-3-9f3ac1d2", "1.10.3"), ("", NOBODY), ("other", "other")],
)
def test_version_in_a_deployments_name(ref: str, version: str) -> None:
    assert version_in(ref) == version
