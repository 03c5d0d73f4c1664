"""The combiner of a Seldon graph over HTTP, with the payloads that the executor posts."""

import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from django.conf import settings
from starlette.testclient import TestClient

from mlops_portal.stack.ports import automatic
from serving.combiner import Combiner, application
from serving.errors import CannotLoad, MemberFailed
from tests.serving import composed

START_SECONDS = 60
pytestmark = [pytest.mark.stack, pytest.mark.timeout(200)]


@contextmanager
def serving(folder: Path, parameters: Any, *arguments: str) -> Iterator[httpx.Client]:
    """A container of the graph as the operator starts it: told its port and parameters by variables."""
    port = automatic("127.0.0.1", None, set())
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(port),
        "PREDICTIVE_UNIT_PARAMETERS": json.dumps(parameters),
    }
    command = [settings.MODELS_PYTHON / "python", "-m", "serving.combiner", "--host", "127.0.0.1", *arguments]
    with (folder / f"log-{port}").open("wb") as log:
        server = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            deadline = time.monotonic() + START_SECONDS
            while not is_ready(client):
                assert server.poll() is None, (folder / f"log-{port}").read_text()
                assert time.monotonic() < deadline, "the combiner does not get ready"
                time.sleep(0.1)
            yield client
    finally:
        server.kill()
        server.wait(10)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def parameters(**values: str) -> list[dict[str, str]]:
    """As in the variable PREDICTIVE_UNIT_PARAMETERS."""
    return [{"name": name, "value": value, "type": "STRING"} for name, value in values.items()]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx.Client]]:
    """A combiner of probabilities, and a member served beside it."""
    folder = tmp_path_factory.mktemp("graph")
    member = composed.save_classifier(folder / "one")
    weighing = parameters(combine="mean_of_probabilities", members="one,two", weights="1,3")
    with ExitStack() as stack:
        yield {
            "combiner": stack.enter_context(serving(folder, weighing)),
            "member": stack.enter_context(serving(folder, [], "--model", str(member))),
        }


def ndarray(values: Any, *names: str, **meta: Any) -> dict[str, Any]:
    """A member's answer as Seldon's wrapper writes it."""
    return {"data": {"names": list(names), "ndarray": values}, "meta": meta}


def test_aggregate_of_the_executors_list_is_the_weighted_mean(clients: dict[str, httpx.Client]) -> None:
    """The body is what executor/api/rest/utils.go (CombineSeldonMessagesToJson) joins: a bare list."""
    body = [
        ndarray([[0.2, 0.8], [1.0, 0.0]], "t:0", "t:1", requestPath={"one": "models:1"}, tags={"a": 1}),
        ndarray([[0.6, 0.4], [0.0, 1.0]], "t:0", "t:1", requestPath={"two": "models:1"}),
    ]
    answer = clients["combiner"].post("/aggregate", json=body, headers={"Seldon-Puid": "abc"})
    assert answer.status_code == 200
    content = answer.json()
    assert content["data"]["names"] == ["t:0", "t:1"]
    assert np.array(content["data"]["ndarray"]) == pytest.approx(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert content["meta"] == {"tags": {"a": 1}, "requestPath": {"one": "models:1", "two": "models:1"}}


def test_aggregate_of_a_message_list_with_tensors_answers_a_tensor(clients: dict[str, httpx.Client]) -> None:
    tensors = [
        {"data": {"names": [], "tensor": {"shape": [1, 2], "values": values}}} for values in ([1, 0], [0, 1])
    ]
    answer = clients["combiner"].post("/aggregate", json={"seldonMessages": tensors})
    assert answer.json()["data"] == {"names": [], "tensor": {"shape": [1, 2], "values": [0.25, 0.75]}}


def test_aggregate_puts_classes_of_another_order_in_order(clients: dict[str, httpx.Client]) -> None:
    body = [ndarray([[0.2, 0.8]], "no", "yes"), ndarray([[0.4, 0.6]], "yes", "no")]
    data = clients["combiner"].post("/aggregate", json=body).json()["data"]
    assert data["names"] == ["no", "yes"]
    assert data["ndarray"] == [pytest.approx([0.5, 0.5])]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ([ndarray([[0.2, 0.8]])], 500, "1 answers came for 2 members: one, two"),
        (
            [ndarray([[0.2, 0.8]]), ndarray([[1.0]])],
            500,
            "member two answered 1 values a row instead of 2 values",
        ),
        ([ndarray([[0.2, 0.8]]), ndarray([[None, 1.0]])], 500, "member two answered None in row 1"),
        (
            [ndarray([[3.0, 4.0]]), ndarray([[0.5, 0.5]])],
            500,
            "member one answered numbers that are no probab",
        ),
        (
            [ndarray([[0.2, 0.8]], "a", "b"), ndarray([[0.5, 0.5]], "a", "c")],
            500,
            "member two answered the col",
        ),
        ([{"strData": "x"}, {"strData": "y"}], 400, "bad request: the message has no `data`"),
        (
            [{"data": {"tensor": {"shape": [2, 2], "values": [1]}}}] * 2,
            400,
            "bad request: the array cannot be",
        ),
        ([ndarray([[1], [1, 2]])] * 2, 400, "bad request: the array cannot be read"),
        ({"data": {}}, 400, "bad request: the body is no list of Seldon messages"),
    ],
)
def test_aggregate_of_what_cannot_be_combined_is_a_failure_of_the_protocol(
    clients: dict[str, httpx.Client], body: Any, status: int, said: str
) -> None:
    answer = clients["combiner"].post("/aggregate", json=body)
    assert answer.status_code == status
    told = answer.json()["status"]
    assert (told["status"], told["code"]) == ("FAILURE", status)
    assert told["info"].startswith(said), told["info"]


def test_aggregate_of_no_json_is_a_bad_request(clients: dict[str, httpx.Client]) -> None:
    assert clients["combiner"].post("/aggregate", content=b"\xff{").status_code == 400


def test_predict_of_a_member_answers_in_the_protocol(clients: dict[str, httpx.Client]) -> None:
    rows = composed.ROWS.to_numpy().tolist()
    named = clients["member"].post("/predict", json=ndarray(rows, "a", "b")).json()
    unnamed = clients["member"].post("/predict", json=ndarray(rows)).json()
    swapped = clients["member"].post("/predict", json=ndarray([row[::-1] for row in rows], "b", "a")).json()
    assert np.array(named["data"]["ndarray"]).shape == (6, 3)
    assert named == unnamed == swapped


def test_predict_of_a_member_with_too_few_columns_is_a_bad_request(clients: dict[str, httpx.Client]) -> None:
    answer = clients["member"].post("/predict", json=ndarray([[1.0]]))
    assert answer.status_code == 400
    assert "expected are 2 columns: a, b" in answer.json()["status"]["info"]


def test_answer_that_json_cannot_hold_is_a_failure_of_the_protocol() -> None:
    served = application("/predict", lambda content: {"data": {"ndarray": [math.nan]}})
    answer = TestClient(served).post("/predict", json={})
    assert answer.status_code == 500
    assert answer.json()["status"]["status"] == "FAILURE"


def test_combiner_answers_the_label_with_the_most_weight() -> None:
    vote = Combiner(combine="vote", members="a,b,c", weights="3,1,1")
    answers = [np.array(["x", "y"]), np.array(["y", "y"]), np.array(["y", "x"])]
    assert vote.aggregate(answers, [[], [], []]).tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members": "a,b", "weights": "1"}, "1 weights were given for 2 members: a, b"),
        ({"members": "a,b", "weights": "1,2,3"}, "3 weights were given for 2 members"),
        ({"members": "a,b", "weights": "1,-1"}, "members.b.weight: -1.0 is not a weight"),
        ({"members": "a,b", "weights": "0,0"}, "members: all weights are zero"),
        ({"members": "a,b", "weights": "1,nan"}, "members.b.weight: nan is not a weight"),
        ({"members": "a,b", "weights": "1,x"}, "the parameter `weights` is '1,x'"),
        ({"members": "a,a"}, "has to name each member of the ensemble once"),
        ({"members": ""}, "has to name each member"),
        ({"members": "a,b", "combine": "AVERAGE"}, "combine is 'AVERAGE', none of"),
    ],
)
def test_combiner_with_bad_parameters_is_refused_in_words(given: dict[str, str], said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        Combiner(**given)


def test_combiner_of_a_nan_names_the_member() -> None:
    with pytest.raises(MemberFailed, match="member b answered nan in row 2"):
        Combiner("mean", "a,b").aggregate([np.array([1.0, 2.0]), np.array([1.0, np.nan])], [[], []])
