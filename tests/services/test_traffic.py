"""Mappings of services: who may set them, what is refused, what is written down, what the page is told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from releases.domain.errors import Conflict, Invalid, NotFound
from releases.domain.plan import TrafficSplit
from releases.domain.release import Phase
from releases.domain.routing import RouteSetting
from releases.domain.traffic import ServiceMatch, TrafficRule, revision
from releases.models import Environment, Service, ServiceRule
from releases.services import commands, find
from releases.services.commands.traffic import WantedMapping
from releases.services.queries.traffic import traffic_table
from releases.services.queries.traffic_effect import standstill
from releases.services.queries.traffic_routes import route_diff
from releases.services.queries.traffic_tester import Request, way_of
from releases.services.traffic import doors
from tenants.access import NotAllowed
from tenants.models import AuditEvent
from tests import factories

pytestmark = pytest.mark.django_db
AT = factories.moment("2026-11-24 12:00:00")
DEFAULT, PREMIUM = TrafficRule(None, "wine"), TrafficRule("premium", "cider")


class Scene:
    """Wine and cider serve in production; perry is known and serves nowhere. `quality` has a mapping."""

    def __init__(self) -> None:
        self.cast = factories.cast()
        acme = self.cast.acme
        self.place = factories.environment(acme)
        factories.environment(acme, "staging")
        for name in ("wine", "cider"):
            model = factories.model(acme, name)
            factories.endpoint(self.place, model, stable=factories.version(model, "1.0.0"))
        factories.model(acme, "perry")
        self.ada = self.cast.actor(self.cast.ada)
        commands.set_mapping(self.ada, "quality", "production", [DEFAULT, PREMIUM], at=AT)

    def rules(self, service: str = "quality", place: Environment | None = None) -> dict[str | None, str]:
        rows = ServiceRule.objects.filter(service__name=service, environment=place or self.place)
        return {row.tier: row.model.name for row in rows.select_related("model")}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def last_event() -> tuple[str, str, object]:
    event = AuditEvent.objects.order_by("-sequence")[0]
    return event.action, event.subject, event.detail


# ---- setting -----------------------------------------------------------------------------------------
def test_mapping_set_is_told_with_before_and_after(scene: Scene) -> None:
    change = commands.set_mapping(scene.ada, "quality", "production", [TrafficRule(None, "cider")], at=AT)
    assert (change.before, change.after) == ((DEFAULT, PREMIUM), (TrafficRule(None, "cider"),))
    assert scene.rules() == {None: "cider"}
    detail = {"before": {"default": "wine", "premium": "cider"}, "after": {"default": "cider"}}
    assert last_event() == ("mapping.changed", "quality in production", detail)


def test_mapping_set_as_it_is_writes_nothing(scene: Scene) -> None:
    events, rows = AuditEvent.objects.count(), set(ServiceRule.objects.values_list("pk", flat=True))
    commands.set_mapping(scene.ada, "quality", "production", [PREMIUM, DEFAULT], at=AT)
    assert AuditEvent.objects.count() == events
    assert set(ServiceRule.objects.values_list("pk", flat=True)) == rows


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_mapping_is_for_administrators_only(scene: Scene, name: str) -> None:
    actor = scene.cast.actor(getattr(scene.cast, name))
    for attempt in (
        lambda: commands.set_mapping(actor, "quality", "production", [], at=AT),
        lambda: commands.add_service(actor, name="apples", at=AT),
        lambda: commands.remove_service(actor, "quality", reason="why not", at=AT),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    assert scene.rules() == {None: "wine", "premium": "cider"}


def test_mapping_of_another_tenant_is_another_mapping(scene: Scene) -> None:
    mallory = scene.cast.actor(scene.cast.mallory)
    with pytest.raises(NotFound):
        commands.set_mapping(mallory, "quality", "production", [], at=AT)
    factories.environment(scene.cast.globex)
    with pytest.raises(Invalid, match="no model 'wine'"):
        commands.set_mapping(mallory, "quality", "production", [DEFAULT], at=AT)
    commands.set_mapping(mallory, "quality", "production", [], at=AT)
    assert scene.rules() == {None: "wine", "premium": "cider"}


def test_mapping_changed_since_it_was_seen_is_a_conflict_that_shows_both(scene: Scene) -> None:
    seen = revision([DEFAULT, PREMIUM])
    commands.set_mapping(scene.ada, "quality", "production", [DEFAULT], at=AT, expected=seen)
    with pytest.raises(Conflict) as refused:
        commands.set_mapping(
            scene.ada, "quality", "production", [TrafficRule(None, "perry")], at=AT, expected=seen
        )
    assert refused.value.code == "mapping_changed"
    assert "there is now default wine; you asked for default perry" in str(refused.value)
    assert refused.value.state == {
        **{"service": "quality", "environment": "production"},
        **{"rules": {"default": "wine"}, "asked": {"default": "perry"}},
    }
    assert scene.rules() == {None: "wine"}


def test_mappings_are_set_all_or_none(scene: Scene) -> None:
    commands.add_service(scene.ada, name="apples", at=AT)
    wanted = [
        WantedMapping("apples", (DEFAULT,), revision([])),
        WantedMapping("quality", (DEFAULT,), "seen long ago"),
    ]
    with pytest.raises(Conflict):
        commands.set_mappings(scene.ada, "production", wanted, at=AT)
    assert scene.rules("apples") == {}


@pytest.mark.django_db(transaction=True)
def test_mappings_saved_by_two_at_once_are_those_of_one_and_a_conflict_for_the_other(scene: Scene) -> None:
    commands.add_service(scene.ada, name="apples", at=AT)
    start = Barrier(2)

    def save(model: str) -> str:
        seen = {"quality": revision([DEFAULT, PREMIUM]), "apples": revision([])}
        wanted = [WantedMapping(name, (TrafficRule(None, model),), seen[name]) for name in seen]
        if model == "perry":
            wanted.reverse()
        start.wait(10)
        try:
            commands.set_mappings(scene.ada, "production", wanted, at=AT)
        except Conflict as refused:
            return refused.code
        finally:
            connection.close()
        return model

    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(save, ["cider", "perry"]))
    assert done.count("mapping_changed") == 1
    winner = next(word for word in done if word != "mapping_changed")
    assert scene.rules() == scene.rules("apples") == {None: winner}


def test_mapping_of_a_removed_service_does_not_bring_it_back(scene: Scene) -> None:
    commands.remove_service(scene.ada, "quality", reason="renamed", at=AT)
    with pytest.raises(Conflict, match="has been removed since you looked"):
        commands.set_mapping(
            scene.ada, "quality", "production", [DEFAULT], at=AT, expected=revision([DEFAULT, PREMIUM])
        )
    assert not Service.objects.exists()


def test_service_name_that_no_address_can_hold_is_refused(scene: Scene) -> None:
    for name in ("", "Quality", "a b", "-a", "a" * 41, "a\x00"):
        with pytest.raises(Invalid) as refused:
            commands.add_service(scene.ada, name=name, at=AT)
        assert list(refused.value.fields) == ["name"]
    with pytest.raises(Conflict, match="service 'quality' already"):
        commands.add_service(scene.ada, name="quality", at=AT)


def test_service_removed_takes_its_mappings_along_and_keeps_them_in_the_record(scene: Scene) -> None:
    commands.set_mapping(scene.ada, "quality", "staging", [TrafficRule(None, "perry")], at=AT)
    with pytest.raises(Invalid):
        commands.remove_service(scene.ada, "quality", reason=" ", at=AT)
    commands.remove_service(scene.ada, "quality", reason="renamed", at=AT)
    assert not ServiceRule.objects.exists()
    before = {"production": {"default": "wine", "premium": "cider"}, "staging": {"default": "perry"}}
    assert last_event() == ("service.removed", "quality", {"reason": "renamed", "before": before})
    with pytest.raises(NotFound):
        commands.remove_service(scene.ada, "quality", reason="again", at=AT)


def test_mapping_that_is_set_is_what_the_workers_lead_to_the_route(scene: Scene) -> None:
    wine = find.endpoint(scene.ada, "production", "wine")
    setting = doors([wine]).of(wine, RouteSetting(TrafficSplit(0), None, None))
    assert setting.matches == (ServiceMatch("quality", "", ("premium",)),)


# ---- the page ----------------------------------------------------------------------------------------
def draft(*rules: TrafficRule, seen: tuple[TrafficRule, ...] = (DEFAULT, PREMIUM)) -> list[WantedMapping]:
    return [WantedMapping("quality", rules, revision(seen))]


def test_table_with_a_draft_tells_what_it_changes(scene: Scene) -> None:
    table = traffic_table(scene.ada, scene.place, draft(DEFAULT, TrafficRule("standard", "perry")))
    assert [change.text for change in table.changes] == [
        "quality, premium: cider to as default",
        "quality, standard: as default to perry",
    ]
    assert [cell.is_unserved for cell in table.rows[0].cells] == [False, False, True]
    assert (table.served, table.unserved) == (["cider", "wine"], ["perry"])
    assert table.overtaken == []


def test_table_with_a_draft_that_changes_nothing_follows_what_others_saved(scene: Scene) -> None:
    commands.set_mapping(scene.ada, "quality", "production", [TrafficRule(None, "perry")], at=AT)
    table = traffic_table(scene.ada, scene.place, draft(PREMIUM, DEFAULT))
    assert (table.changes, table.overtaken) == ([], [])
    assert table.rows[0].saved_rules == (TrafficRule(None, "perry"),)


def test_table_with_a_draft_that_was_overtaken_says_so(scene: Scene) -> None:
    commands.set_mapping(scene.ada, "quality", "production", [TrafficRule(None, "perry")], at=AT)
    table = traffic_table(scene.ada, scene.place, draft(DEFAULT))
    assert [row.service.name for row in table.overtaken] == ["quality"]


def test_table_of_a_draft_for_a_service_that_is_gone_names_it(scene: Scene) -> None:
    commands.remove_service(scene.ada, "quality", reason="renamed", at=AT)
    table = traffic_table(scene.ada, scene.place, draft(DEFAULT))
    assert (table.gone, table.changes) == (["quality"], [])


def test_route_diff_shows_the_matches_that_come_and_go_and_no_others(scene: Scene) -> None:
    commands.set_mapping(scene.ada, "zest", "production", [DEFAULT], at=AT)
    lines = route_diff(traffic_table(scene.ada, scene.place, draft(DEFAULT, TrafficRule("premium", "perry"))))
    path = "{path: /services/production/v2/models/quality, tenant: acme"
    assert [(line.mark, line.text) for line in lines] == [
        (" ", "route acme/production/cider also takes"),
        ("-", f"{path}, customer-tier: premium}}"),
        (" ", "route acme/production/perry also takes, once it is there"),
        ("+", f"{path}, customer-tier: premium}}"),
    ]


def test_route_diff_shows_how_the_default_gives_way_to_a_new_tier(scene: Scene) -> None:
    lines = route_diff(traffic_table(scene.ada, scene.place, draft(DEFAULT)))
    tail = [
        line.mark + line.text.removeprefix("{path: /services/production/v2/models/quality") for line in lines
    ]
    assert tail == [
        " route acme/production/cider also takes",
        "-, tenant: acme, customer-tier: premium}",
        " route acme/production/wine also takes",
        "-, tenant: acme, customer-tier: {not: [premium]}}",
        "+, tenant: acme}",
    ]


@pytest.mark.parametrize(
    ("request_", "steps", "end", "detail"),
    [
        (
            Request("quality", "acme", "premium"),
            ["tenant: acme is this tenant", "customer-tier: premium has a rule of its own"],
            "cider, production",
            "stable 1.0.0, 100 %",
        ),
        (
            Request("quality", "acme"),
            ["tenant: acme is this tenant", "without customer-tier the default is taken"],
            "wine, production",
            "stable 1.0.0, 100 %",
        ),
        (
            Request("quality", "acme", "standard"),
            [
                "tenant: acme is this tenant",
                "customer-tier: standard has no rule of its own, so the default is taken",
            ],
            "wine, production",
            "stable 1.0.0, 100 %",
        ),
        (
            Request("quality", "acme", "gold"),
            [
                "tenant: acme is this tenant",
                "customer-tier: gold is no tier that is known, so the default is taken",
            ],
            "wine, production",
            "stable 1.0.0, 100 %",
        ),
        (
            Request("quality", "globex"),
            ["tenant: globex is not acme"],
            "No model of acme answers",
            "No rule of acme fits, and what lets acme's callers in opens no other tenant's services.",
        ),
        (
            Request("quality", ""),
            ["without the header tenant no rule fits"],
            "No model answers",
            "404: no model is served at this address.",
        ),
        (
            Request("beer", "acme"),
            ["tenant: acme is this tenant"],
            "No model answers",
            "There is no service 'beer'. 404: no model is served at this address.",
        ),
    ],
)
def test_tester_leads_a_request_where_the_gateway_does(
    scene: Scene, request_: Request, steps: list[str], end: str, detail: str
) -> None:
    way = way_of(traffic_table(scene.ada, scene.place), request_, is_tied=True)
    assert (way.steps, way.end, way.detail) == (steps, end, detail)


def test_tester_promises_nothing_where_the_header_is_believed(scene: Scene) -> None:
    table = traffic_table(scene.ada, scene.place)
    way = way_of(table, Request("quality", "globex"), is_tied=False)
    assert (way.end, way.detail) == ("No model of acme answers", "No rule of acme fits.")


def test_tester_shows_the_split_of_a_canary(scene: Scene) -> None:
    wine = find.endpoint(scene.ada, "production", "wine")
    factories.release(wine, factories.version(wine.model, "1.1.0"), Phase.CANARY)
    way = way_of(traffic_table(scene.ada, scene.place), Request("quality", "acme"), is_tied=True)
    assert way.detail == "stable 1.0.0, 90 %; candidate 1.1.0, 10 %"


def test_tester_tells_that_a_model_serves_nowhere_there(scene: Scene) -> None:
    commands.set_mapping(scene.ada, "quality", "production", [TrafficRule("premium", "perry")], at=AT)
    table = traffic_table(scene.ada, scene.place)
    assert (
        "nothing serves here yet" in way_of(table, Request("quality", "acme", "premium"), is_tied=True).detail
    )
    assert "quality has no default" in way_of(table, Request("quality", "acme"), is_tied=True).detail


def standing(place: Environment) -> str:
    return standstill(place, timezone.now())


def test_standstill_names_workers_that_are_silent_and_a_gateway_that_is_down(scene: Scene) -> None:
    assert "The workers have not reported" in standing(scene.place)
    workers = factories.health("workers")
    gateway = factories.health("gateway", "down", detail="connection refused")
    assert "does not answer the workers (connection refused)" in standing(scene.place)
    gateway.state = "up"
    gateway.save()
    assert standing(scene.place) == ""
    workers.seen_at -= timedelta(minutes=5)
    workers.save()
    assert "The workers have not reported" in standing(scene.place)


def test_standstill_of_an_environment_with_a_gateway_of_its_own_is_its_own(scene: Scene) -> None:
    factories.health("workers")
    factories.health("gateway")
    factories.health("gateway", "down", environment=scene.place)
    assert "does not answer" in standing(scene.place)
    assert standing(Environment.objects.get(name="staging")) == ""
