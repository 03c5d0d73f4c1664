"""Weights that the portal wrote steer real requests: istiod, a real Envoy, pods with addresses."""

import pytest

from tests.istio.conftest import Mesh
from tests.istio.served import Served

DEPLOYMENT = "x-portal-deployment"


def test_split_at_ten_percent_sends_a_tenth_of_requests_to_the_candidate(mesh: Mesh, acme: Served) -> None:
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    acme.split("wine", 10, stable, candidate)
    mesh.await_split(acme.path("wine"), {"v1-0-0", "v1-1-0"})
    counts = mesh.ask_often(600, acme.path("wine"))
    # 60 are to be expected; further off than this, one run in a million is.
    assert 25 <= counts["v1-1-0"] <= 102
    assert counts["v1-0-0"] + counts["v1-1-0"] == 600


def test_rollback_leaves_no_request_at_the_candidate_and_restarts_no_pod(mesh: Mesh, acme: Served) -> None:
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    before = mesh.pod_uids(acme.namespace)
    acme.split("wine", 50, stable, candidate)
    mesh.await_split(acme.path("wine"), {"v1-0-0", "v1-1-0"})
    acme.split("wine", 0, stable)
    mesh.await_only(acme.path("wine"), "v1-0-0")
    assert mesh.ask_often(200, acme.path("wine")) == {"v1-0-0": 200}
    assert mesh.pod_uids(acme.namespace) == before


def test_promotion_gives_the_candidate_everything_under_load_without_a_failed_request(
    mesh: Mesh, acme: Served
) -> None:
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    acme.split("wine", 0, stable)
    mesh.await_status(200, acme.path("wine"))
    with mesh.load(acme.path("wine")) as statuses:
        for share in (10, 50, 100):
            acme.split("wine", share, stable, candidate)
            mesh.await_reached(acme.path("wine"), "v1-1-0")
        acme.split("wine", 0, candidate)
        mesh.await_only(acme.path("wine"), "v1-1-0")
        acme.target.remove(stable.ref)
    assert set(statuses) == {200}
    assert sum(statuses.values()) > 50


def test_answer_names_the_deployment_that_gave_it(mesh: Mesh, acme: Served) -> None:
    stable = acme.deploy("wine", "1.0.0")
    acme.split("wine", 0, stable)
    mesh.await_status(200, acme.path("wine"))
    assert mesh.ask(acme.path("wine")).headers[DEPLOYMENT] == stable.ref
    assert mesh.pods.seen[-1].path == "/v2/models/model/infer"


def test_smoke_test_reaches_a_candidate_that_gets_no_traffic_yet(mesh: Mesh, acme: Served) -> None:
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    acme.split("wine", 0, stable, candidate)
    mesh.await_status(200, acme.path("wine"))
    asked = {DEPLOYMENT: candidate.ref}
    mesh.await_reached(acme.path("wine"), "v1-1-0", asked)
    assert mesh.ask_often(20, acme.path("wine"), asked) == {"v1-1-0": 20}
    assert mesh.ask_often(50, acme.path("wine")) == {"v1-0-0": 50}


def test_first_version_is_reached_by_nobody_before_its_release_says_so(mesh: Mesh, acme: Served) -> None:
    first = acme.deploy("wine", "1.0.0")
    acme.split("wine", 0, None, first)
    mesh.await_status(503, acme.path("wine"))
    assert mesh.ask(acme.path("wine")).json() == {"error": "no version of wine is released in production"}
    assert mesh.ask(acme.path("wine"), {DEPLOYMENT: first.ref}).status_code == 200
    acme.split("wine", 100, None, first)
    mesh.await_status(200, acme.path("wine"))


def test_shadow_gets_a_copy_of_requests_and_its_answers_are_discarded(mesh: Mesh, acme: Served) -> None:
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    mesh.pods.failing["v1-1-0"] = 500
    try:
        acme.split("wine", 0, stable, candidate, shadow=True)
        mesh.await_status(200, acme.path("wine"))
        mesh.await_copies("v1-1-0", acme.path("wine"))
        mesh.pods.forget()
        answers = [mesh.ask(acme.path("wine")) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers[DEPLOYMENT] for answer in answers} == {stable.ref}
        mesh.await_count("v1-1-0", 30)
    finally:
        mesh.pods.failing.clear()


@pytest.mark.parametrize("neighbour", ["winery", "wine-fast"])
def test_model_whose_name_begins_alike_keeps_its_own_requests(
    mesh: Mesh, acme: Served, neighbour: str
) -> None:
    wine, other = acme.deploy("wine", "1.0.0"), acme.deploy(neighbour, "2.0.0")
    acme.split("wine", 0, wine)
    acme.split(neighbour, 0, other)
    mesh.await_status(200, acme.path("wine"))
    mesh.await_status(200, acme.path(neighbour))
    assert mesh.ask_often(20, acme.path("wine")) == {"v1-0-0": 20}
    assert mesh.ask_often(20, acme.path(neighbour)) == {"v2-0-0": 20}
