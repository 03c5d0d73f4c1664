"""The webhook of MLflow: what is taken, what is noted, what is refused; and never twice."""

import json
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import Settings

from releases.adapters.registry.mlflow_messages import signature
from releases.api import webhooks
from releases.models import RegisteredModel, RegistryMessage
from releases.services import catalog
from releases.services.reconcile import now
from tests import factories
from tests.fakes_registry import FakeRegistry

SECRET = "a secret of more than 32 characters"
URL = "/webhooks/mlflow/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages to workers, which are not there."""
    settings.MLFLOW_WEBHOOK_SECRET = SECRET
    sent: list[str] = []
    monkeypatch.setattr(webhooks.current_app, "send_task", lambda name, **options: sent.append(name))
    return sent


@pytest.fixture
def wine() -> RegisteredModel:
    return factories.model(factories.tenant("acme"))


def message(name: str = "acme-wine", entity: str = "model_version", action: str = "created") -> bytes:
    return json.dumps({"entity": entity, "action": action, "data": {"name": name}}).encode()


def post(
    body: bytes, delivery: str = "d-1", secret: str = SECRET, ago: int = 0, **changes: str
) -> HttpResponse:
    stamp = str(int(timezone.now().timestamp()) - ago)
    sent = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature(secret, delivery, stamp, body),
        **changes,
    }
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    answer: HttpResponse = client.post(URL, body, content_type="application/json", headers=sent)
    return answer


def problem(answer: HttpResponse) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert content["status"] == answer.status_code
    return answer.status_code, content["code"]


def test_message_of_a_known_model_has_it_looked_at(wine: RegisteredModel, sent: list[str]) -> None:
    answer = post(message())
    assert (answer.status_code, answer.json()) == (
        202,
        {"noted": "model_version.created: acme-wine is looked at now"},
    )
    assert sent == ["releases.tasks.look_where_asked"]
    registry = FakeRegistry()
    registry.log("run-1")
    registry.register("acme-wine", "run-1", "model", {"semantic_version": "1.0.0"}, "")
    assert catalog.look_where_asked(registry, now) == 1
    assert wine.versions.get().version == "1.0.0"
    assert catalog.look_where_asked(registry, now) == 0


def test_message_while_the_model_is_being_looked_at_has_it_looked_at_again(wine: RegisteredModel) -> None:
    post(message())

    class Interrupted(FakeRegistry):
        def list_versions(self, name: str) -> Any:
            found = super().list_versions(name)
            if not self.runs:  # a version is registered, and told of, after the first listing
                self.log("run-1")
                self.register(name, "run-1", "model", {"semantic_version": "1.0.0"}, "")
                assert post(message(), delivery="d-2").status_code == 202
            return found

    assert catalog.look_where_asked(Interrupted(), now) == 2
    assert wine.versions.get().version == "1.0.0"


def test_message_when_the_registry_is_away_stays_asked_for(wine: RegisteredModel) -> None:
    post(message())
    assert catalog.look_where_asked(FakeRegistry(reachable=False), now) == 1
    wine.refresh_from_db()
    assert wine.asked_at is not None


def test_message_without_a_broker_is_taken_and_waits_for_the_poll(
    wine: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, **options: object) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(webhooks.current_app, "send_task", fail)
    assert post(message()).status_code == 202


@pytest.mark.parametrize(
    ("body", "noted"),
    [
        (message("their-wine"), "model_version.created: no tenant has a model 'their-wine'"),
        (message(entity="prompt"), "prompt.created tells nothing of a version"),
        (message(entity="planet", action="found"), "planet.found tells nothing of a version"),
    ],
)
def test_message_that_concerns_nobody_is_noted(
    wine: RegisteredModel, sent: list[str], body: bytes, noted: str
) -> None:
    answer = post(body)
    assert (answer.status_code, answer.json(), sent) == (200, {"noted": noted}, [])


def test_message_that_comes_again_is_refused(wine: RegisteredModel) -> None:
    assert post(message()).status_code == 202
    assert problem(post(message())) == (409, "replayed")
    assert problem(post(message("other"))) == (409, "replayed")
    assert post(message(), delivery="d-2").status_code == 202


@pytest.mark.parametrize(
    "options",
    [
        {"secret": "not the secret"},
        {"ago": 301},
        {"ago": -305},
        {"X-MLflow-Signature": ""},
        {"delivery": "a b"},
    ],
)
def test_message_that_is_not_ours_or_not_fresh_changes_nothing(
    wine: RegisteredModel, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = post(message(), **options)
    assert problem(answer) == (401, "bad_signature")
    assert "WWW-Authenticate" in answer.headers
    assert SECRET not in caplog.text + answer.content.decode()
    wine.refresh_from_db()
    assert (wine.asked_at, RegistryMessage.objects.count()) == (None, 0)


def test_message_that_is_signed_nonsense_is_refused_and_not_remembered(wine: RegisteredModel) -> None:
    assert problem(post(b"nonsense")) == (422, "invalid")
    assert not RegistryMessage.objects.exists()


def test_message_that_is_huge_is_refused_before_its_signature_is_looked_at() -> None:
    assert problem(post(b"x" * (webhooks.LARGEST_BODY + 1), secret="wrong")) == (413, "too_large")


def test_webhook_takes_nothing_but_post() -> None:
    answer = Client().get(URL)
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_webhook_without_a_secret_takes_nothing(settings: Settings) -> None:
    settings.MLFLOW_WEBHOOK_SECRET = ""
    assert problem(post(message(), secret="")) == (503, "no_secret")


def test_message_whose_effect_is_lost_may_come_again(
    wine: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as broken:
        broken.setattr(RegisteredModel, "save", fail)
        assert problem(post(message())) == (500, "internal_error")
    assert post(message()).status_code == 202


def test_messages_are_forgotten_when_their_time_stamp_alone_refuses_them(wine: RegisteredModel) -> None:
    post(message())
    assert catalog.forget_messages(timezone.now() + timedelta(seconds=290)) == 0
    assert catalog.forget_messages(timezone.now() + timedelta(seconds=310)) == 1


@pytest.mark.django_db(transaction=True)
def test_message_that_arrives_many_times_at_once_is_taken_once(wine: RegisteredModel) -> None:
    answers: list[int] = []
    ready = threading.Barrier(8)

    def send() -> None:
        ready.wait(10)
        try:
            answers.append(post(message()).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == [202, *[409] * 7]
