"""Traffic keys on the Traffic page: shown, made and retired by administrators, seen by nobody else."""

import pytest
from django.utils import timezone

from releases.models import KubernetesPlace
from tenants import traffic_keys
from tenants.models import TrafficKey
from tests.web.conftest import Login, Scene

TRAFFIC, KEYS = "/t/acme/traffic/", "/t/acme/traffic/keys/"


@pytest.fixture
def keys(scene: Scene) -> list[str]:
    """The texts of acme's two keys, the oldest first."""
    rows = [traffic_keys.make(scene.cast.acme, by="ada", at=timezone.now()) for _ in range(2)]
    return [traffic_keys.text_of("acme", row.sequence) for row in rows]


def living() -> list[int]:
    return sorted(TrafficKey.objects.filter(retired_at__isnull=True).values_list("sequence", flat=True))


def test_administrator_sees_and_copies_the_keys(login: Login, keys: list[str]) -> None:
    page = login("ada").get(TRAFFIC).content.decode()
    for sequence, text in enumerate(keys, 1):
        assert f'data-copy="{text}"' in page
        assert f"{KEYS}{sequence}/retire/" in page


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_others_see_no_key(login: Login, keys: list[str], name: str) -> None:
    page = login(name).get(TRAFFIC).content.decode()
    assert "mlk_" not in page
    assert "/keys/" not in page


def test_page_of_a_place_on_a_cluster_shows_no_keys(scene: Scene, login: Login, keys: list[str]) -> None:
    place = scene.production
    place.target = "seldon"
    place.save()
    KubernetesPlace.objects.create(
        tenant=place.tenant,
        environment=place,
        cluster="dev",
        namespace="acme",
        gateway_url="https://models.example.org",
        artifacts="s3://models/acme",
        artifacts_secret="s3",
    )
    assert "mlk_" not in login("ada").get(f"{TRAFFIC}?environment=production").content.decode()
    assert "mlk_" in login("ada").get(f"{TRAFFIC}?environment=staging").content.decode()


def test_only_key_can_be_copied_and_not_retired(scene: Scene, login: Login) -> None:
    traffic_keys.make(scene.cast.acme, by="ada", at=timezone.now())
    page = login("ada").get(TRAFFIC).content.decode()
    assert "mlk_" in page
    assert "/retire/" not in page
    answer = login("ada").post(f"{KEYS}1/retire/", {"reason": "x"})
    assert answer.status_code == 409
    assert b"Make another one first" in answer.content
    assert living() == [1]


def test_key_is_made_with_one_click(login: Login, keys: list[str]) -> None:
    answer = login("ada").post(KEYS, follow=True)
    assert b"Traffic key 3 is made" in answer.content
    assert living() == [1, 2, 3]


def test_too_many_keys_are_refused_in_words(login: Login, keys: list[str]) -> None:
    for _ in range(3):
        login("ada").post(KEYS)
    answer = login("ada").post(KEYS, follow=True)
    page = answer.content.decode()
    assert 'data-tone="danger"' in page
    assert "No key was made. 5 keys live already" in page
    assert living() == [1, 2, 3, 4, 5]


def test_key_is_retired_after_a_question_and_with_a_reason(login: Login, keys: list[str]) -> None:
    ada = login("ada")
    assert "Retire traffic key 1?" in ada.get(f"{KEYS}1/retire/").content.decode()
    assert ada.post(f"{KEYS}1/retire/", {"reason": " "}).status_code == 422
    assert living() == [1, 2]
    answer = ada.post(f"{KEYS}1/retire/", {"reason": "the batch job is gone"}, follow=True)
    assert b"Traffic key 1 is retired" in answer.content
    assert keys[0] not in answer.content.decode()
    assert living() == [2]


@pytest.mark.parametrize("sequence", ["1", "3", "99999999999999999999"])
def test_key_that_does_not_live_is_not_found(login: Login, keys: list[str], sequence: str) -> None:
    ada = login("ada")
    ada.post(f"{KEYS}1/retire/", {"reason": "gone"})
    assert ada.get(f"{KEYS}{sequence}/retire/").status_code == 404
    assert ada.post(f"{KEYS}{sequence}/retire/", {"reason": "x"}).status_code == 404


@pytest.mark.parametrize(("name", "status"), [("mallory", 404), ("cleo", 403)])
def test_keys_are_made_by_nobody_else(login: Login, keys: list[str], name: str, status: int) -> None:
    assert login(name).post(KEYS).status_code == status
    assert living() == [1, 2]
