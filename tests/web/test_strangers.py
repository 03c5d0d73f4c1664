"""Nobody sees anything of a tenant they are not a member of; not even whether it exists."""

import pytest
from django.test import Client

from tests.web.conftest import Login, Scene

PATHS = [
    "",
    "releases/",
    "releases/new/",
    "releases/{canary}/",
    "releases/{canary}/pause/",
    "releases/{waiting}/decide/",
    "releases/{canary}/callbacks/",
    "approvals/",
    "models/",
    "add-model/",
    "models/wine/",
    "models/wine/1.0.0/",
    "endpoints/",
    "endpoints/production/mead/back/",
    "endpoints/production/mead/lift/",
    "traffic/",
    "traffic/production/change/",
    "traffic/quality/remove/",
    "add-service/",
    "traffic/keys/1/retire/",
    "environments/",
    "environments/production/",
    "environments/production/policy/",
    "environments/production/connection/",
    "environments/production/disconnect/",
    "environments/production/autoscaling/",
    "environments/production/network/",
    "add-environment/",
]
POSTS = ["releases/{canary}/callbacks/1/again/"] + [
    path
    for path in PATHS
    if path.endswith(
        (
            *("/new/", "/pause/", "/decide/", "add-model/", "/back/", "/lift/"),
            *("/change/", "/remove/", "add-service/", "/retire/"),
            *("/policy/", "/connection/", "/disconnect/", "/autoscaling/", "/network/", "add-environment/"),
        )
    )
]


def address(scene: Scene, path: str, tenant: str = "acme") -> str:
    return f"/t/{tenant}/" + path.format(canary=scene.canary.pk, waiting=scene.waiting.pk)


@pytest.mark.parametrize("path", PATHS)
def test_it_hides_everything_from_a_stranger(scene: Scene, login: Login, path: str) -> None:
    answer = login("mallory").get(address(scene, path))
    assert answer.status_code == 404
    assert b"wine" not in answer.content.replace(answer.wsgi_request.path.encode(), b"")
    assert login("mallory").get(address(scene, path, "nowhere")).status_code == 404


@pytest.mark.parametrize("path", POSTS)
def test_it_takes_nothing_from_a_stranger(scene: Scene, login: Login, path: str) -> None:
    answer = login("mallory").post(address(scene, path), {"reason": "x", "decision": "approve", "do": "file"})
    assert answer.status_code == 404
    scene.canary.refresh_from_db()
    assert scene.canary.intent == ""
    assert not scene.waiting.approvals.exists()


@pytest.mark.parametrize("path", PATHS)
def test_it_asks_who_nobody_is(scene: Scene, client: Client, path: str) -> None:
    answer = client.get(address(scene, path))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/?next=/t/acme/")


def test_it_finds_no_release_of_another_tenant_in_the_own_one(scene: Scene, login: Login) -> None:
    assert login("mallory").get(address(scene, "releases/{canary}/", "globex")).status_code == 404


@pytest.mark.parametrize("path", POSTS)
def test_it_lets_a_viewer_change_nothing(scene: Scene, login: Login, path: str) -> None:
    answer = login("cleo").post(address(scene, path), {"reason": "x", "decision": "approve", "do": "file"})
    assert answer.status_code == 403
    assert b"viewer" in answer.content
    scene.canary.refresh_from_db()
    assert scene.canary.intent == ""
    assert not scene.waiting.approvals.exists()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "releases/",
        "releases/{canary}/",
        "releases/{waiting}/",
        "approvals/",
        "models/",
        "endpoints/",
        "traffic/",
    ],
)
def test_it_shows_a_viewer_no_buttons(scene: Scene, login: Login, path: str) -> None:
    page = login("cleo").get(address(scene, path)).content.decode()
    for link in (
        "/pause/",
        "/promote/",
        "/abort/",
        "/decide/",
        "/releases/new/",
        "/back/",
        "/lift/",
        "add-model",
        "add-service",
        "/remove/",
        "/change/",
        "/keys/",
    ):
        assert link not in page


@pytest.mark.parametrize(
    "path", ["releases/?model=%00&before=%00&phase=%00", "releases/%00/", "models/a%00/"]
)
def test_it_survives_what_no_database_can_hold(scene: Scene, login: Login, path: str) -> None:
    assert login("ada").get(f"/t/acme/{path}").status_code in (200, 404)
