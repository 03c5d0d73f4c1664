"""The Traffic page: the table, the change before it is written, the tester, and what callers need."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from releases.domain.traffic import TrafficRule
from releases.models import Environment, KubernetesPlace, Service
from releases.services import commands
from releases.services.commands.traffic import rules_of
from tenants import traffic_keys
from tenants.models import AuditEvent
from tests import factories
from tests.web.conftest import Login, Scene
from tests.web.reading import text

PAGE = "/t/acme/traffic/"
CHANGE = "/t/acme/traffic/production/change/"


@pytest.fixture(autouse=True)
def mapped(scene: Scene) -> None:
    """`quality` leads to wine, its premium callers to cider; `retention` leads nowhere yet."""
    ada = scene.cast.actor(scene.cast.ada)
    rules = [TrafficRule(None, "wine"), TrafficRule("premium", "cider")]
    commands.set_mapping(ada, "quality", "production", rules, at=timezone.now())
    commands.add_service(ada, name="retention", at=timezone.now())


def form_of(answer: object) -> dict[str, str]:
    """The inputs of the form of a mapping, as a browser would send them."""
    content = answer.content.decode()  # type: ignore[attr-defined]
    found = dict(
        re.findall(r'<input type="hidden" name="((?:revision|rule)\.[^"]+)" value="([^"]*)"', content)
    )
    for name, options in re.findall(r'<select[^>]* name="(rule\.[^"]+)"[^>]*>(.*?)</select>', content, re.S):
        chosen = re.search(r"<option selected>([^<]+)<", options)
        found[name] = chosen[1] if chosen else ""
    return found


def rules(service: str = "quality") -> dict[str | None, str]:
    row = Service.objects.get(name=service)
    place = Environment.objects.get(tenant=row.tenant, name="production")
    return {rule.tier: rule.model for rule in rules_of(row, place)}


def test_it_shows_who_gets_which_model(login: Login) -> None:
    answer = login("ada").get(PAGE)
    form = form_of(answer)
    assert {name: model for name, model in form.items() if name.startswith("rule.") and model} == {
        "rule.quality.default": "wine",
        "rule.quality.premium": "cider",
    }
    assert "answers nobody here yet" in text(answer)
    assert "1.1.0 gets 10 %" in text(answer).replace("\xa0", " ")


def test_it_lets_a_viewer_look_and_choose_nothing(login: Login) -> None:
    answer = login("cleo").get(PAGE)
    assert form_of(answer) == {}
    assert "quality" in text(answer)
    assert "cider" in text(answer)


def test_it_writes_nothing_before_the_difference_was_seen(login: Login) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.quality.premium": "mead", "rule.retention.default": "perry"}
    answer = client.post(CHANGE, {**form, "do": "review"})
    said = text(answer)
    assert answer.status_code == 200
    assert "Change 2 rules in production?" in said
    assert "quality premium cider mead stable 1.1.0, 100 %" in said.replace("\xa0", " ")
    assert "nothing yet callers get 404 or 503 until a version of perry is released" in said
    assert "{path: /services/production/v2/models/retention, tenant: acme}" in said
    assert rules() == {None: "wine", "premium": "cider"}

    saved = client.post(CHANGE, {**form_of(answer), "do": "save"}, follow=True)
    assert "Saved: quality, retention in production" in text(saved)
    assert rules() == {None: "wine", "premium": "mead"}
    assert rules("retention") == {None: "perry"}
    last = AuditEvent.objects.order_by("-sequence")[0]
    assert (last.actor, last.action, last.subject) == ("ada", "mapping.changed", "retention in production")


def test_it_takes_a_tier_back_to_the_default(login: Login) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.quality.premium": ""}
    answer = client.post(CHANGE, form)
    assert "quality premium cider as default wine: stable 1.0.0, 90 %" in text(answer).replace("\xa0", " ")
    client.post(CHANGE, {**form_of(answer), "do": "save"})
    assert rules() == {None: "wine"}


def test_it_marks_what_a_draft_changes_and_keeps_it(login: Login) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.quality.standard": "mead"}
    answer = client.post(CHANGE, {**form, "do": "edit"})
    assert "1 change not saved" in text(answer)
    assert "quality, standard: as default to mead" in text(answer)
    assert form_of(answer) == form
    assert rules() == {None: "wine", "premium": "cider"}


def test_it_says_that_nothing_is_changed(login: Login) -> None:
    client = login("ada")
    answer = client.post(CHANGE, {**form_of(client.get(PAGE)), "do": "review"})
    assert "Choose another model somewhere first" in text(answer)


def test_it_shows_what_somebody_else_changed_meanwhile_and_leaves_the_choice(
    scene: Scene, login: Login
) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.quality.premium": "mead"}
    at, ada = timezone.now(), scene.cast.actor(scene.cast.ada)
    commands.set_mapping(ada, "quality", "production", [TrafficRule(None, "perry")], at=at)
    answer = client.post(CHANGE, form)
    assert answer.status_code == 409
    assert "Somebody else has changed quality since you began. There is now default perry" in text(answer)
    client.post(CHANGE, {**form_of(answer), "do": "save"})
    assert rules() == {None: "wine", "premium": "mead"}


def test_it_refuses_what_was_overtaken_after_the_difference_was_seen(scene: Scene, login: Login) -> None:
    client = login("ada")
    shown = client.post(CHANGE, form_of(client.get(PAGE)) | {"rule.quality.premium": "mead"})
    at, ada = timezone.now(), scene.cast.actor(scene.cast.ada)
    commands.set_mapping(ada, "quality", "production", [TrafficRule(None, "perry")], at=at)
    answer = client.post(CHANGE, {**form_of(shown), "do": "save"})
    assert answer.status_code == 409
    assert "there is now default perry; you asked for default wine, premium mead" in text(answer)
    assert rules() == {None: "perry"}


def test_it_does_not_bring_back_a_service_that_was_removed_meanwhile(scene: Scene, login: Login) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.retention.default": "mead"}
    ada = scene.cast.actor(scene.cast.ada)
    commands.remove_service(ada, "retention", reason="renamed", at=timezone.now())
    answer = client.post(CHANGE, {**form, "do": "save"})
    assert answer.status_code == 409
    assert "retention has been removed since you looked at it" in text(answer)
    assert not Service.objects.filter(name="retention").exists()


def test_it_refuses_a_model_that_is_not_there(login: Login) -> None:
    client = login("ada")
    form = form_of(client.get(PAGE)) | {"rule.quality.premium": "beer\x00"}
    answer = client.post(CHANGE, {**form, "do": "save"})
    assert answer.status_code == 422
    assert rules() == {None: "wine", "premium": "cider"}


def test_it_leads_back_from_the_address_of_a_change(login: Login) -> None:
    assert login("ada").get(CHANGE)["Location"] == f"{PAGE}?environment=production"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("service=quality&tier=premium", "customer-tier: premium has a rule of its own cider, production"),
        ("service=quality&tier=", "without customer-tier the default is taken wine, production"),
        ("service=quality&caller=globex", "tenant: globex is not acme No model of acme answers"),
        ("service=retention", "retention has no mapping in production"),
        ("service=%00&caller=acme", "There is no service"),
        ("environment=staging&service=quality", "quality has no mapping in staging"),
    ],
)
def test_it_tells_where_a_request_goes(login: Login, query: str, said: str) -> None:
    assert said in text(login("cleo").get(f"{PAGE}?{query}"))


def test_it_gives_callers_their_address_and_an_example(scene: Scene, login: Login) -> None:
    traffic_keys.make(scene.cast.acme, by="ada", at=timezone.now())
    said = text(login("cleo").get(f"{PAGE}?service=quality&tier=premium"))
    address = "http://127.0.0.1:8080/services/production/v2/models/quality/infer"
    assert f"quality {address}" in said
    assert (
        f"curl {address} \\ -H 'tenant: acme' \\ -H 'customer-tier: premium' \\ "
        "-H \"x-api-key: $TRAFFIC_KEY\" \\ -H 'content-type: application/json' \\ -d @request.json"
    ) in said
    key = traffic_keys.keys_of(["acme"])["acme"][0]
    assert key not in said


def test_it_says_that_nobody_gets_in_without_a_key(scene: Scene, login: Login) -> None:
    warning = "acme has no traffic key, so the gateway lets nobody in."
    assert warning in text(login("ada").get(PAGE))
    traffic_keys.make(scene.cast.acme, by="ada", at=timezone.now())
    assert warning not in text(login("ada").get(PAGE))


def test_it_gives_callers_of_a_cluster_its_gateway_and_the_token_that_it_asks_for(
    scene: Scene, login: Login
) -> None:
    Environment.objects.filter(pk=scene.production.pk).update(target="seldon")
    KubernetesPlace.objects.create(
        tenant=scene.cast.acme,
        environment=scene.production,
        cluster="eu",
        namespace="acme-production",
        gateway_url="https://models.example/",
        artifacts="s3://models/acme",
        artifacts_secret="models",
        jwt_issuer="https://login.example",
        jwks_uri="https://login.example/keys",
    )
    client = login("ada")
    page = client.get(PAGE)
    said = text(page)
    assert "https://models.example/services/production/v2/models/quality/infer" in said
    assert "a token of https://login.example whose claim tenant is acme" in said
    assert '-H "authorization: Bearer $TOKEN"' in said
    assert "x-api-key" not in said
    assert "Nothing ties the header" not in said
    shown = client.post(CHANGE, form_of(page) | {"rule.quality.premium": "mead"})
    assert "virtualservice/portal-mead in acme-production also takes" in text(shown)
    KubernetesPlace.objects.update(jwt_issuer="", jwks_uri="")
    assert "Nothing ties the header tenant to who is calling" in text(client.get(PAGE))


def test_it_adds_a_service(login: Login) -> None:
    client = login("ada")
    answer = client.post("/t/acme/add-service/", {"name": "Apples"})
    assert answer.status_code == 422
    assert "Lower-case letters, digits and hyphens" in text(answer)
    assert 'value="Apples"' in answer.content.decode()
    assert client.post("/t/acme/add-service/", {"name": "quality"}).status_code == 409
    answer = client.post("/t/acme/add-service/", {"name": "apples"}, follow=True)
    assert "apples is a service now" in text(answer)
    assert "rule.apples.default" in form_of(answer)


def test_it_removes_a_service_with_a_reason_and_says_what_that_means(login: Login) -> None:
    client = login("ada")
    address = "/t/acme/traffic/quality/remove/"
    assert "Whoever calls it in production is answered 404" in text(client.get(address))
    assert "nobody is answered under this name" in text(client.get("/t/acme/traffic/retention/remove/"))
    assert client.post(address, {"reason": ""}).status_code == 422
    assert client.post(address, {"reason": "renamed"})["Location"] == PAGE
    assert not Service.objects.filter(name="quality").exists()
    assert client.get(address).status_code == 404


def test_it_says_when_changes_cannot_come_into_effect(scene: Scene, login: Login) -> None:
    said = "Changes do not come into effect just now."
    assert said not in text(login("ada").get(PAGE))
    factories.ComponentHealth.objects.filter(name="gateway").update(state="down", detail="no socket")
    assert f"{said} The gateway does not answer the workers (no socket)" in text(login("ada").get(PAGE))


def test_it_helps_where_there_is_nothing_yet(scene: Scene, login: Login) -> None:
    client: Client = login("ada")
    Service.objects.all().delete()
    assert "No service yet" in text(client.get(PAGE))
    assert "/t/acme/add-service/" in client.get(PAGE).content.decode()
    assert "/t/acme/add-service/" not in login("cleo").get(PAGE).content.decode()
    commands.add_service(scene.cast.actor(scene.cast.ada), name="quality", at=timezone.now())
    assert client.get(f"{PAGE}?environment=mars").status_code == 404
    assert login("mallory").get("/t/globex/traffic/").status_code == 200
    assert "No environment yet" in text(login("mallory").get("/t/globex/traffic/"))
    factories.environment(scene.cast.globex)
    mallory = scene.cast.actor(scene.cast.mallory)
    commands.add_service(mallory, name="quality", at=timezone.now())
    assert "No model is known here" in text(login("mallory").get("/t/globex/traffic/"))
