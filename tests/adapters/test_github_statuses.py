"""Statuses of commits: the very request that GitHub documents, and what each of its answers means."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest

from releases.adapters.notifier.github import GitHubConfig, GitHubStatuses
from releases.ports import CommitStatus, Refused, Unreachable
from tests.adapters.engines import Server, serving

NOW = 1_790_000_000.0
TOKEN = "github_pat_secret"
SHA = "0123456789" * 4
STATUS = CommitStatus(
    repository="acme/wine.models",
    sha=SHA,
    state="pending",
    context="mlops-portal/production/wine",
    description="canary: step 1 of 1: 10 % for 300 s",
    target_url="https://portal.example/t/acme/releases/01JD/",
)


@dataclass
class GitHub:
    """A server that checks requests as GitHub does, then answers as its attributes say."""

    server: Server
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "said by GitHub"}'
    kept: list[dict[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> GitHubStatuses:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return GitHubStatuses(GitHubConfig(url, TOKEN, seconds=1.0), clock=lambda: NOW)


@pytest.fixture
def github() -> Iterator[GitHub]:
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            expected = {
                "authorization": f"Bearer {TOKEN}",
                "accept": "application/vnd.github+json",
                "x-github-api-version": "2022-11-28",
                "content-type": "application/json",
            }
            running.wrong += [name for name, value in expected.items() if self.headers[name] != value]
            if not self.headers["user-agent"]:
                running.wrong.append("user-agent")
            if self.path != f"/repos/acme/wine.models/statuses/{SHA}":
                running.wrong.append(self.path)
            running.kept.append(json.loads(content))
            self.send_response(running.status)
            for name, value in running.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(running.body)))
            self.end_headers()
            self.wfile.write(running.body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at the answers."""

    running = GitHub(Server(("127.0.0.1", 0), Answering))
    with serving(running.server):
        yield running


def test_set_sends_what_github_documents(github: GitHub) -> None:
    github.statuses.set(STATUS)
    assert github.wrong == []
    assert github.kept == [
        {
            "state": "pending",
            "context": STATUS.context,
            "description": STATUS.description,
            "target_url": STATUS.target_url,
        }
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "GITHUB_TOKEN is not valid"),
        (403, "may not set statuses there"),
        (404, "no such repository"),
        (422, "no such commit"),
        (400, "does not accept"),
        (301, "another name now"),
    ],
)
def test_set_that_github_refuses_is_given_up_with_a_sentence(github: GitHub, status: int, said: str) -> None:
    github.status, github.headers = status, {"location": "/elsewhere"}
    with pytest.raises(Refused, match=said) as caught:
        github.statuses.set(STATUS)
    assert "acme/wine.models" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(github.kept) == 1


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {}, 1),
        (429, {"retry-after": "60"}, 60),
        (403, {"retry-after": "120"}, 120),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 600)}, 600),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) - 600)}, 1),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 15}, 3600),
        (500, {}, 1),
        (503, {"retry-after": "soon"}, 1),
    ],
)
def test_set_that_github_wants_later_waits_as_long_as_it_says(
    github: GitHub, status: int, headers: dict[str, str], wait: float
) -> None:
    github.status, github.headers = status, headers
    with pytest.raises(Unreachable, match=str(status)) as caught:
        github.statuses.set(STATUS)
    assert caught.value.retry_after == wait


@pytest.mark.parametrize("body", [b"", b"[]", b'{"message": 7}', b"\xff", b"<html>"])
def test_set_with_an_answer_that_says_nothing_is_refused_all_the_same(github: GitHub, body: bytes) -> None:
    github.status, github.body = 404, body
    with pytest.raises(Refused, match=r"answers 404\)"):
        github.statuses.set(STATUS)


def test_set_where_nobody_answers_is_to_be_tried_again() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        GitHubStatuses(GitHubConfig("http://127.0.0.1:9", TOKEN)).set(STATUS)


def test_set_without_a_token_is_refused_before_anything_is_sent(github: GitHub) -> None:
    url = f"http://127.0.0.1:{github.server.server_address[1]}"
    with pytest.raises(Refused, match="no GITHUB_TOKEN"):
        GitHubStatuses(GitHubConfig(url, "")).set(STATUS)
    assert github.kept == []


def test_config_does_not_tell_its_token() -> None:
    assert TOKEN not in repr(GitHubConfig("https://api.github.com", TOKEN))
