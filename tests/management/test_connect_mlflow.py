"""`connect_mlflow` with a real MLflow, and the way of a new version into the portal, from end to end."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from statistics import median
from typing import Any

import httpx
import pytest
from celery.contrib.testing.worker import start_worker
from django.core.management import CommandError, call_command
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from mlops_portal.celery import app
from releases.adapters import factory
from releases.models import RegisteredModel, RegistryMessage
from releases.ports import Refused
from tests import factories

SECRET = "a secret of more than 32 characters"


@dataclass(frozen=True)
class MLflow:
    """What a pipeline, or a person, asks of it."""

    url: str

    def call(self, method: str, path: str, **content: object) -> dict[str, Any]:
        answer = httpx.request(method, f"{self.url}/api/2.0/mlflow/{path}", json=content, timeout=20)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def webhooks(self) -> list[tuple[str, str]]:
        answer = httpx.get(f"{self.url}/api/2.0/mlflow/webhooks", params={"max_results": 100}, timeout=20)
        return sorted((each["name"], each["url"]) for each in answer.json().get("webhooks", []))


@pytest.fixture
def mlflow(mlflow_server: str, settings: Settings) -> Iterator[MLflow]:
    """The server, without a webhook before and after."""
    settings.MLFLOW_TRACKING_URI = mlflow_server
    settings.MLFLOW_WEBHOOK_SECRET = SECRET
    factory._local.cache_clear()
    yield MLflow(mlflow_server)
    for name in ("mlops-portal", "theirs"):
        connect("--remove", "--name", name)
    factory._local.cache_clear()


def connect(*arguments: str) -> str:
    output = StringIO()
    call_command("connect_mlflow", *arguments, stdout=output)
    return output.getvalue()


def test_connect_creates_then_updates_and_says_which(mlflow: MLflow) -> None:
    assert connect("--url", "http://127.0.0.1:9").startswith("created mlops-portal: ")
    assert mlflow.webhooks() == [("mlops-portal", "http://127.0.0.1:9/webhooks/mlflow/")]
    said = connect("--url", "http://127.0.0.1:10")
    assert said.startswith("updated mlops-portal: ")
    assert "it was mlops-portal, http://127.0.0.1:9/webhooks/mlflow/" in said
    assert "it was" not in connect("--url", "http://127.0.0.1:10/")
    assert mlflow.webhooks() == [("mlops-portal", "http://127.0.0.1:10/webhooks/mlflow/")]
    assert SECRET not in said


def test_connect_takes_over_the_webhook_of_the_same_address_and_leaves_others(mlflow: MLflow) -> None:
    events = [{"entity": "PROMPT", "action": "CREATED"}]
    mlflow.call("POST", "webhooks", name="old-name", url="http://127.0.0.1:9/webhooks/mlflow/", events=events)
    mlflow.call("POST", "webhooks", name="theirs", url="http://127.0.0.1:9/elsewhere/", events=events)
    assert "it was old-name" in connect("--url", "http://127.0.0.1:9")
    assert mlflow.webhooks() == [
        ("mlops-portal", "http://127.0.0.1:9/webhooks/mlflow/"),
        ("theirs", "http://127.0.0.1:9/elsewhere/"),
    ]


def test_remove_says_whether_there_was_one(mlflow: MLflow) -> None:
    connect()
    assert connect("--remove") == "removed mlops-portal\n"
    assert connect("--remove") == "there was no mlops-portal\n"
    assert mlflow.webhooks() == []


def test_connect_that_cannot_be_done_says_why(mlflow: MLflow, settings: Settings) -> None:
    with pytest.raises(CommandError, match="no address"):
        connect("--url", "portal.example")
    with pytest.raises(CommandError, match="Webhook name"):
        connect("--url", "http://portal.example", "--name", "not a name!")
    settings.MLFLOW_WEBHOOK_SECRET = ""
    with pytest.raises(CommandError, match="MLFLOW_WEBHOOK_SECRET"):
        connect()
    settings.MLFLOW_WEBHOOK_SECRET, settings.MLFLOW_TRACKING_URI = SECRET, "http://127.0.0.1:9"
    with pytest.raises(CommandError, match="cannot be reached"):
        connect()
    settings.MLFLOW_TRACKING_URI = mlflow.url


@pytest.mark.django_db(transaction=True)
def test_connect_test_tells_what_the_portal_answers(mlflow: MLflow, live_server: LiveServer) -> None:
    said = connect("--url", live_server.url, "--test")
    assert "/webhooks/mlflow/ answers 200" in said
    assert "no tenant has a model" in said


@pytest.mark.django_db(transaction=True)
def test_connect_test_with_another_secret_in_the_portal_fails(
    mlflow: MLflow, live_server: LiveServer, settings: Settings
) -> None:
    connect("--url", live_server.url)
    settings.MLFLOW_WEBHOOK_SECRET = "another secret of at least 32 letters"
    with pytest.raises(Refused, match="answered 401"):
        factory.registry_webhooks().test("mlops-portal")


@pytest.mark.django_db(transaction=True)
def test_version_is_in_the_portal_within_a_second_of_its_registration(
    mlflow: MLflow, live_server: LiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    wine = factories.model(factories.tenant("acme"), registry_name="told-wine")
    connect("--url", live_server.url)
    run = mlflow.call("POST", "runs/create", experiment_id="0")["run"]["info"]
    version = {"name": wine.registry_name, "run_id": run["run_id"], "source": f"{run['artifact_uri']}/model"}
    mlflow.call("POST", "registered-models/create", name=wine.registry_name)
    with start_worker(app, pool="solo", perform_ping_check=False, queues=["control"]):
        took = []
        for number in range(1, 6):
            tags = [{"key": "semantic_version", "value": f"1.{number}.0"}]
            mlflow.call("POST", "model-versions/create", **version, tags=tags)
            took.append(until_there(wine, number))
    with capsys.disabled():
        print(" seen after", *(f"{each:.2f}" for each in took), "s", end=" ")  # noqa: T201
    assert median(took) < 1.0, took  # the first also pays for a cold worker; nobody polls here
    assert RegistryMessage.objects.count() == 5
    assert wine.versions.get(registry_version=3).version == "1.3.0"


def until_there(wine: RegisteredModel, number: int) -> float:
    """Seconds from the registry's answer until the portal has the version."""
    began = time.monotonic()
    while not wine.versions.filter(registry_version=number).exists():
        assert time.monotonic() - began < 10, "the version does not come"
        time.sleep(0.01)
    return time.monotonic() - began
