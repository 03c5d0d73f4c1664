"""What every notifier promises: the fake and real webhooks alike."""

import contextlib
import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from releases.adapters.notifier.pinned import is_public
from releases.adapters.notifier.webhook import WebhookConfig, WebhookNotifier
from releases.ports import Message, Notifier, Refused, Unreachable
from tests.adapters.engines import Receiver, receiver
from tests.fakes_outside import FakeNotifier

NOW = 1_790_000_000.0
BODY = b'{"event": "release.succeeded"}'


@dataclass
class Subject:
    """`deliveries` are those that arrived; `fail_with` makes the receiver answer so."""

    notifier: Notifier
    url: str
    deliveries: Callable[[], list[str]]
    fail_with: Callable[[int], object]
    go_away: Callable[[], object]


def fake(request: pytest.FixtureRequest) -> Subject:
    notifier = FakeNotifier()

    def fail_with(status: int) -> None:
        later = status >= 500 or status in (408, 429)
        notifier.failures.append((Unreachable if later else Refused)(f"answers {status}"))

    return Subject(
        notifier,
        "https://ci.example/hook",
        lambda: [message.delivery for message in notifier.sent],
        fail_with,
        lambda: setattr(notifier, "reachable", False),
    )


def webhook(request: pytest.FixtureRequest) -> Subject:
    hook: Receiver = request.getfixturevalue("hook")
    return Subject(
        loopback_notifier(),
        hook.url,
        lambda: [headers["x-portal-delivery"] for headers, _ in hook.received],
        lambda status: setattr(hook, "status", status),
        hook.stop,
    )


def loopback_notifier(seconds: float = 5.0) -> WebhookNotifier:
    return WebhookNotifier(WebhookConfig(allow_private=True, seconds=seconds), clock=lambda: NOW)


def message(url: str) -> Message:
    return Message(url, "01JDELIVERY", BODY, "the secret")


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(params=[fake, webhook])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


def test_send_delivers_once(subject: Subject) -> None:
    subject.notifier.send(message(subject.url))
    assert subject.deliveries() == ["01JDELIVERY"]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_send_to_a_receiver_in_trouble_is_to_be_tried_again(subject: Subject, status: int) -> None:
    subject.fail_with(status)
    with pytest.raises(Unreachable, match=str(status)):
        subject.notifier.send(message(subject.url))


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_send_to_a_receiver_that_says_no_is_refused(subject: Subject, status: int) -> None:
    subject.fail_with(status)
    with pytest.raises(Refused, match=str(status)):
        subject.notifier.send(message(subject.url))


def test_send_to_nobody_is_to_be_tried_again(subject: Subject) -> None:
    subject.go_away()
    with pytest.raises(Unreachable):
        subject.notifier.send(message(subject.url))


def test_webhook_is_signed_over_timestamp_and_body(hook: Receiver) -> None:
    loopback_notifier().send(message(hook.url))
    headers, body = hook.received[0]
    expected = hmac.new(b"the secret", b"1790000000." + BODY, hashlib.sha256).hexdigest()
    assert body == BODY
    assert headers["x-portal-timestamp"] == "1790000000"
    assert headers["x-portal-signature"] == f"sha256={expected}"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == hook.url.split("/")[2]


def test_webhook_follows_no_redirect(hook: Receiver) -> None:
    hook.status, hook.location = 302, hook.url + "elsewhere"
    with pytest.raises(Refused, match="redirects"):
        loopback_notifier().send(message(hook.url))
    assert len(hook.received) == 1


def test_webhook_waits_as_long_as_the_receiver_asks(hook: Receiver) -> None:
    hook.status, hook.retry_after = 429, "120"
    with pytest.raises(Unreachable) as caught:
        loopback_notifier().send(message(hook.url))
    assert caught.value.retry_after == 120


def test_webhook_to_a_receiver_that_sleeps_gives_up(hook: Receiver) -> None:
    hook.delay = 1.0
    with pytest.raises(Unreachable):
        loopback_notifier(seconds=0.2).send(message(hook.url))


def test_webhook_to_a_private_address_is_refused_before_anything_is_sent(hook: Receiver) -> None:
    with pytest.raises(Refused, match="own network"):
        WebhookNotifier(WebhookConfig()).send(message(hook.url))
    assert hook.received == []


def test_webhook_to_a_name_of_the_own_machine_is_refused(hook: Receiver) -> None:
    with pytest.raises(Refused, match="own network"):
        WebhookNotifier(WebhookConfig()).send(message(hook.url.replace("127.0.0.1", "localhost")))
    assert hook.received == []


def test_webhook_connects_to_the_address_that_was_checked(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(hook.url.split(":")[2].strip("/"))
    asked: list[object] = []

    def resolve(host: object, *arguments: object, **options: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **o: resolve(host) if host == "ci.example" else real(host, *a, **o),
    )
    loopback_notifier().send(message(f"http://ci.example:{port}/hook"))
    assert asked == ["ci.example"]
    assert hook.received[0][0]["host"] == f"ci.example:{port}"


def resolving(monkeypatch: pytest.MonkeyPatch, host: str, *addresses: str) -> None:
    """The name has these addresses."""
    real = socket.getaddrinfo

    def resolve(asked: object, port: object, *arguments: object, **options: object) -> object:
        if asked != host:
            return real(asked, port, *arguments, **options)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_webhook_whose_first_address_is_dead_reaches_the_second(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "ci.example", "127.0.0.9", "127.0.0.1")
    loopback_notifier().send(message(hook.url.replace("127.0.0.1", "ci.example")))
    assert len(hook.received) == 1


def test_webhook_with_one_private_address_among_others_is_refused(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "ci.example", "8.8.8.8", "127.0.0.1")
    with pytest.raises(Refused, match="own network"):
        WebhookNotifier(WebhookConfig()).send(message(hook.url.replace("127.0.0.1", "ci.example")))
    assert hook.received == []


@pytest.mark.parametrize(
    "host",
    ["0", "127.1", "0x7f000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]"],  # noqa: S104
)
def test_webhook_to_the_own_machine_under_another_spelling_is_refused(hook: Receiver, host: str) -> None:
    with pytest.raises(Refused, match="own network"):
        WebhookNotifier(WebhookConfig()).send(message(hook.url.replace("127.0.0.1", host)))
    assert hook.received == []


@contextmanager
def saying(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """A receiver that takes a connection and says these pieces, with a pause before each."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def answer() -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                for piece in pieces:
                    if over.wait(pause):
                        return
                    connection.sendall(piece)
                over.wait(5)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        over.set()
        server.close()
        thread.join(5)


def test_webhook_to_a_receiver_that_trickles_its_headers_is_over_in_time() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"x" * 100
    began = time.monotonic()
    with saying(*(bytes([each]) for each in answer), pause=0.05) as url, pytest.raises(Unreachable):
        loopback_notifier(seconds=0.4).send(message(url))
    assert time.monotonic() - began < 1.5


def test_webhook_to_a_receiver_whose_answer_never_ends_is_delivered_at_its_headers() -> None:
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 1000) as url:
        loopback_notifier().send(message(url))


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200"])
def test_webhook_to_what_hangs_or_speaks_something_else_is_to_be_tried_again(answer: bytes) -> None:
    with saying(answer) as url, pytest.raises(Unreachable):
        loopback_notifier(seconds=0.3).send(message(url))


def test_webhook_to_a_receiver_that_flaps_succeeds_when_it_is_back(hook: Receiver) -> None:
    for status, raises in ((503, True), (204, False), (500, True), (200, False)):
        hook.status = status
        with pytest.raises(Unreachable) if raises else contextlib.nullcontext():
            loopback_notifier().send(message(hook.url))
    assert len(hook.received) == 4


def test_webhook_over_tls_to_a_receiver_without_it_is_to_be_tried_again(hook: Receiver) -> None:
    with pytest.raises(Unreachable):
        loopback_notifier(seconds=1).send(message(hook.url.replace("http://", "https://")))
    assert hook.received == []


def test_webhook_failure_does_not_tell_the_path(hook: Receiver) -> None:
    hook.status = 404
    with pytest.raises(Refused) as caught:
        loopback_notifier().send(message(hook.url + "token-of-the-receiver"))
    assert "token-of-the-receiver" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://ci.example/", "ci.example/hook", "", "http://", "https://u:p@ci.example/", "http://[::1"],
)
def test_webhook_to_what_is_no_callback_address_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        loopback_notifier().send(message(url))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("172.16.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  an address that is refused
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2002:808:808::", True),
        ("::", False),
        ("::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("64:ff9b:1::7f00:1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("255.255.255.255", False),
    ],
)
def test_is_public_knows_every_disguise(address: str, public: bool) -> None:
    assert is_public(address) is public
