"""Overview, lists, models, endpoints: what they show, and at what price."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.models import ComponentHealth, Endpoint, Hold, RegisteredModel, Release
from tests import factories
from tests.web.conftest import Login, Scene


def get(login: Login, path: str, who: str = "ada", **more: str) -> str:
    answer = login(who).get(f"/t/acme/{path}", **more)
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_shows_what_rolls_out_waits_and_ended_badly(scene: Scene, login: Login) -> None:
    page = get(login, "", "ben")
    assert "1 release waits for you" in page
    assert f'id="active-{scene.canary.pk}"' in page
    assert "Ended badly in the last 24" in page
    assert f"/t/acme/releases/{scene.ended.pk}/" in page


def test_it_draws_the_evidence_of_each_canary(scene: Scene, login: Login) -> None:
    assert '<svg class="spark"' in get(login, "")


def test_it_answers_htmx_with_the_rows_only(scene: Scene, login: Login) -> None:
    part = get(login, "", HTTP_HX_REQUEST="true")
    assert part.lstrip().startswith('<div id="active-releases"')
    assert "Waits for you" not in part


def test_it_says_when_nobody_has_looked_at_an_engine(scene: Scene, login: Login) -> None:
    ComponentHealth.objects.filter(name="workers").update(seen_at=timezone.now() - timedelta(minutes=5))
    ComponentHealth.objects.filter(name="gateway").update(state="down", detail="refuses connections")
    ComponentHealth.objects.filter(name="mlflow").delete()
    page = get(login, "")
    assert "The workers have not reported since" in page
    assert "refuses connections" in page
    assert "Nobody has looked yet" in page
    assert "3 of 5 components are not well" in page


def test_it_shows_the_engines_of_a_cluster_to_the_tenant_whose_environment_it_is_alone(
    scene: Scene, login: Login
) -> None:
    for of, name in ((scene.cast.acme, "cloud"), (scene.cast.globex, "secret-lab")):
        environment = factories.environment(of, name, target="seldon")
        factories.health("target", "down", environment=environment, detail=f"{name} hangs")
    page = get(login, "")
    assert "Serving target of cloud" in page
    assert "cloud hangs" in page
    assert "secret-lab" not in page
    assert page.count("Nobody has looked yet") == 2  # at the gateway and the metric source of cloud
    strangers = login("mallory").get("/t/globex/").content.decode()
    assert "Serving target of secret-lab" in strangers
    assert "cloud" not in strangers
    assert "<span>Gateway</span>" not in strangers  # that of this machine, where globex has nothing


@pytest.mark.parametrize(
    ("asked", "shown", "hidden"),
    [
        ("?phase=active", "canary", "ended"),
        ("?phase=bad", "ended", "canary"),
        ("?model=wine", "canary", "waiting"),
        ("?environment=production", "waiting", None),
    ],
)
def test_it_filters_the_list(scene: Scene, login: Login, asked: str, shown: str, hidden: str | None) -> None:
    page = get(login, f"releases/{asked}")
    assert getattr(scene, shown).pk in page
    assert hidden is None or getattr(scene, hidden).pk not in page


def test_it_turns_the_pages_of_the_list(scene: Scene, login: Login) -> None:
    at = factories.endpoint(scene.staging, scene.perry)
    what = scene.perry.versions.get()
    for _ in range(31):
        factories.release(at, what, factories.Phase.SUCCEEDED)
    first = get(login, "releases/?model=perry")
    older = get(
        login,
        "releases/" + first[first.rindex('href="?') + 6 : first.rindex('">Older')].replace("&amp;", "&"),
    )
    assert (first.count('class="row-link"'), older.count('class="row-link"')) == (30, 1)


def test_it_orders_versions_as_versions(scene: Scene, login: Login) -> None:
    for text in ("1.10.0", "1.9.0", "1.10.0-rc.1", None):
        factories.version(scene.perry, text, note="" if text else "no tag")
    page = get(login, "models/perry/")
    order = [page.index(f"/models/perry/{text}/") for text in ("1.10.0", "1.10.0-rc.1", "1.9.0", "1.0.0")]
    assert [*order, page.index("no tag")] == sorted([*order, page.index("no tag")])


def test_it_compares_a_version_with_the_one_below(scene: Scene, login: Login) -> None:
    factories.version(scene.perry, "1.1.0", metrics={"accuracy": 0.987})
    page = get(login, "models/perry/1.1.0/")
    assert "Minor change against 1.0.0" in page
    assert "+5\N{NO-BREAK SPACE}%" in page


def test_it_adds_a_model_and_marks_a_bad_name(scene: Scene, login: Login) -> None:
    client = login("ada")
    answer = client.post("/t/acme/add-model/", {"name": "Bad Name", "description": "d"})
    assert answer.status_code == 422
    assert "Lower-case letters" in answer.content.decode()
    answer = client.post("/t/acme/add-model/", {"name": "sloe", "description": "d"})
    assert answer["Location"] == "/t/acme/models/sloe/"
    assert RegisteredModel.objects.get(name="sloe").registry_name == "sloe"


def test_it_shows_what_serves_and_what_is_held(scene: Scene, login: Login) -> None:
    Endpoint.objects.filter(pk=scene.at_mead.pk).update(drift="the gateway sends traffic elsewhere")
    page = get(login, "endpoints/")
    assert "1 endpoint does not serve what was released" in page
    assert "the gateway sends traffic elsewhere" in page
    assert "/endpoints/production/mead/lift/?version=1.2.0" in page
    assert "/endpoints/production/mead/back/" in page
    assert "/endpoints/production/wine/back/" not in page


def test_it_shows_the_traffic_of_stable_and_warns_of_bursts(scene: Scene, login: Login) -> None:
    assert "no traffic seen yet" in get(login, "endpoints/")
    sentence = "stable's errors come in bursts (dispersion 2.40 over 30 pairs)"
    test = {"pairs": 30, "phi_errors": 2.4, "phi_latency": None, "evidence": 7.5}
    calm = {**test, "warns": False, "sentence": "stable against itself: calm"}
    factories.baseline(scene.at_mead, 50, 0.002, self_test=calm)
    page = get(login, "endpoints/").replace("\N{NO-BREAK SPACE}", " ")
    assert "50 requests/s, 0.2 % errors in the last 10 min" in page
    assert "Stable against itself: calm." in page
    assert "#s-flag" not in page
    factories.baseline(scene.at_mead, self_test={**test, "warns": True, "sentence": sentence})
    page = get(login, "endpoints/").replace("\N{NO-BREAK SPACE}", " ")
    assert "errors come in bursts (dispersion 2.40 over 30 pairs)" in page
    assert "#s-flag" in page
    factories.baseline(scene.at_mead, 0)
    assert "no request in the last 10 min" in get(login, "endpoints/").replace("\N{NO-BREAK SPACE}", " ")


def test_it_goes_back_to_the_previous_version(scene: Scene, login: Login) -> None:
    client = login("ada")
    assert (
        "Go back to mead 1.0.0 in production?"
        in client.get("/t/acme/endpoints/production/mead/back/").content.decode()
    )
    answer = client.post("/t/acme/endpoints/production/mead/back/", {"reason": "slow"})
    release = Release.objects.get(kind="return")
    assert answer["Location"] == f"/t/acme/releases/{release.pk}/"
    assert release.version.version == "1.0.0"
    assert "Going back to 1.0.0" in client.get(answer["Location"]).content.decode()


def test_it_does_not_go_back_during_a_release(scene: Scene, login: Login) -> None:
    answer = login("ada").post("/t/acme/endpoints/production/wine/back/", {"reason": "I mean it"})
    assert answer.status_code == 409
    assert "I mean it" in answer.content.decode()


def test_it_lifts_a_hold_with_a_reason(scene: Scene, login: Login) -> None:
    url = "/t/acme/endpoints/production/mead/lift/?version=1.2.0"
    assert login("ada").post(url, {"reason": ""}).status_code == 422
    assert login("ada").post(url, {"reason": "the data was wrong"})["Location"] == "/t/acme/endpoints/"
    assert Hold.objects.get().lift_reason == "the data was wrong"


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("", 20),
        ("releases/", 14),
        ("approvals/", 14),
        ("releases/new/", 18),
        ("models/", 12),
        ("endpoints/", 14),
    ],
)
def test_it_asks_a_constant_number_of_queries(
    scene: Scene, login: Login, django_assert_max_num_queries: object, path: str, most: int
) -> None:
    for number in range(12):
        model = factories.model(scene.cast.acme, f"more-{number}")
        at = factories.endpoint(scene.production, model, stable=factories.version(model, "1.0.0"))
        phase = factories.Phase.AWAITING_APPROVAL if number % 2 else factories.Phase.CANARY
        factories.release(at, factories.version(model, "1.1.0"), phase, approvals_required=1)
    client = login("ada")
    with django_assert_max_num_queries(most):  # type: ignore[operator]
        assert client.get(f"/t/acme/{path}").status_code == 200


def test_it_has_no_dead_links(scene: Scene, login: Login) -> None:
    client, todo, seen = login("ada"), ["/t/acme/"], set()
    while todo:
        path = todo.pop()
        if path in seen or path.startswith("/api/"):
            continue
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code == 200, path
        page = answer.content.decode()
        links = [part.split('"', 1)[0] for part in page.split('href="')[1:]]
        todo += [link.replace("&amp;", "&").split("#")[0] for link in links if link.startswith("/t/")]
    assert len(seen) > 20
