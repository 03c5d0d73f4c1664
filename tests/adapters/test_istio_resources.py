"""Route settings as Istio and Seldon are told them: what is read back, and who gets which request."""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.adapters import seldon_objects as seldon
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import Cluster, ClusterConfig, Manifest
from releases.adapters.kubernetes_difference import differences
from releases.adapters.router.istio_resources import check, path_of, setting_from, virtual_service
from releases.adapters.router.istio_traffic import Around, doubt, with_split
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.domain.traffic import ServiceMatch, TrafficRule, matches, resolve
from releases.ports import Refused

PLACE = IstioPlace(
    Cluster(ClusterConfig("none", "")), "acme-production", "acme", "production", "https://models.test:8443"
)
WINE = Route("acme", "production", "wine")
MODELS = ("wine", "wine-2", "winery")
SERVICES = ("tasting", "tasting-notes")


def arm(number: int, model: str = "wine") -> Arm:
    """A version of the model, as the target deploys it."""
    return Arm(f"acme-production-{model}-{number}", seldon.address(model, f"v{number}", PLACE.namespace))


TIERS = st.sampled_from(["premium", "standard", "gold"])
MATCHES = st.builds(ServiceMatch, st.sampled_from(SERVICES), TIERS) | st.builds(
    ServiceMatch,
    st.sampled_from(SERVICES),
    st.just(""),
    st.sets(TIERS).map(lambda found: tuple(sorted(found))),
)
# Every setting that a gateway can do.
SETTINGS = st.builds(
    lambda setting, matches: replace(setting, matches=tuple(sorted(matches))),
    st.builds(RouteSetting, st.integers(0, 100).map(TrafficSplit), st.just(arm(1)), st.just(arm(2)))
    | st.sampled_from(
        [
            RouteSetting(TrafficSplit(0, shadow=True), arm(1), arm(2)),
            RouteSetting(TrafficSplit(0), arm(1), None),
            RouteSetting(TrafficSplit(0), None, arm(2)),
            RouteSetting(TrafficSplit(100), None, arm(2)),
            RouteSetting(TrafficSplit(0), None, None),
        ]
    ),
    st.sets(MATCHES, max_size=4),
)


def seldon_deployment(*shares: int, roles: tuple[str, str] = ("", ""), state: str = "Available") -> Manifest:
    """Of `wine`, with versions 1, 2, ... that have these shares."""
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {
            "name": "wine",
            "namespace": PLACE.namespace,
            "labels": seldon.labels("acme", "production", "wine"),
            "annotations": {seldon.STABLE: roles[0], seldon.CANDIDATE: roles[1]},
        },
        "status": {"state": state},
        "spec": {
            "protocol": "v2",
            "predictors": [
                {
                    "name": f"v{number}",
                    "labels": {seldon.REF: arm(number).ref},
                    "graph": {"name": "model", "modelUri": f"s3://models/{number}"},
                    "traffic": share,
                }
                for number, share in enumerate(shares, 1)
            ],
        },
    }


def of_operator(**shares: int) -> Manifest:
    """Seldon's VirtualService, which leaves a weight of 0 out."""
    to = [
        {
            "destination": {"host": seldon.host(f"wine-{name}", PLACE.namespace), "port": {"number": 8000}},
            **({"weight": share} if share else {}),
        }
        for name, share in shares.items()
    ]
    return {"metadata": {"name": "wine"}, "spec": {"http": [{"route": to}]}}


def ready(*numbers: int) -> dict[str, Manifest]:
    """The Deployments of these versions, all available."""
    return {f"wine-v{number}-0-model": {"status": {"readyReplicas": 1}} for number in numbers}


def doubts(setting: RouteSetting, around: Around, **changes: Any) -> str:
    """What is said of our VirtualService for the setting, with these parts of its spec changed by hand."""
    wanted = virtual_service(WINE, setting, PLACE)
    found = copy.deepcopy(wanted)
    found["spec"] |= changes
    return doubt(setting, wanted, found, around, PLACE.namespace)


# ---- who gets which request ----------------------------------------------------------------------
def fits(match: Mapping[str, Any], path: str, headers: Mapping[str, str]) -> bool:
    """Whether Istio would let the request through this entry: all of its conditions hold."""
    unwanted = {
        name: re.fullmatch(rule["regex"], headers.get(name, ""))
        for name, rule in match.get("withoutHeaders", {}).items()
    }
    uri = match["uri"]
    return (
        (path == uri["exact"] if "exact" in uri else path.startswith(uri["prefix"]))
        and all(headers.get(name) == rule["exact"] for name, rule in match.get("headers", {}).items())
        and not any(unwanted.values())
    )


def takers(path: str, headers: Mapping[str, str], services: Mapping[str, list[TrafficRule]]) -> list[str]:
    """The models whose route for everybody takes the request, when they serve these services."""
    led: dict[str, list[ServiceMatch]] = {model: [] for model in MODELS}
    for service, rules in services.items():
        for model, found in matches(service, rules).items():
            led[model].extend(found)
    taken = []
    for model, found in led.items():
        setting = RouteSetting(TrafficSplit(0), arm(1, model), None, tuple(sorted(found)))
        made = virtual_service(Route("acme", "production", model), setting, PLACE)
        taken += [model for one in made["spec"]["http"][-1]["match"] if fits(one, path, headers)]
    return taken


RULES = st.lists(
    st.builds(TrafficRule, st.none() | TIERS, st.sampled_from(MODELS)), unique_by=lambda rule: rule.tier
)
BELOW = st.sampled_from(["", "/infer", "/", "x", "/infer/again"])


@given(
    services=st.dictionaries(st.sampled_from(SERVICES), RULES),
    service=st.sampled_from(SERVICES),
    below=BELOW,
    headers=st.fixed_dictionaries(
        {},
        optional={"tenant": st.sampled_from(["acme", "globex", ""]), "customer-tier": TIERS | st.just("")},
    ),
)
def test_request_for_a_service_goes_where_the_mapping_leads_and_nowhere_else(
    services: dict[str, list[TrafficRule]], service: str, below: str, headers: dict[str, str]
) -> None:
    taken = takers(f"/services/production/v2/models/{service}{below}", headers, services)
    rule = resolve(services.get(service, []), headers.get("customer-tier"))
    is_ours = headers.get("tenant") == "acme" and (below == "" or below.startswith("/"))
    assert taken == ([rule.model] if rule and is_ours else [])


@given(model=st.sampled_from(MODELS), below=BELOW)
def test_request_at_an_own_address_is_taken_by_this_model_alone(model: str, below: str) -> None:
    taken = takers(f"/acme/production/v2/models/{model}{below}", {}, {})
    assert taken == ([model] if below == "" or below.startswith("/") else [])


@pytest.mark.parametrize(
    "path", ["/acme/production/v2/models/wine", "/services/production/v2/models/tasting"]
)
@pytest.mark.parametrize("below", ["", "/", "/infer", "/versions/1/infer"])
def test_address_is_rewritten_to_the_only_name_that_pods_know(path: str, below: str) -> None:
    made = virtual_service(WINE, RouteSetting(TrafficSplit(0), arm(1), None), PLACE)
    rule = made["spec"]["http"][-1]["rewrite"]["uriRegexRewrite"]
    assert re.sub(rule["match"], rule["rewrite"], path + below) == "/v2/models/model" + below


def test_candidate_is_asked_by_header_before_everybody() -> None:
    made = virtual_service(WINE, RouteSetting(TrafficSplit(0), arm(1), arm(2)), PLACE)
    by_header, for_all = made["spec"]["http"]
    asked = {"x-portal-deployment": arm(2).ref}
    assert any(fits(one, f"{path_of(WINE)}/infer", asked) for one in by_header["match"])
    assert not any(fits(one, f"{path_of(WINE)}/infer", {}) for one in by_header["match"])
    assert [one["destination"]["host"] for one in for_all["route"]] == [arm(1).address.partition(":")[0]]


# ---- what is written is what is read -------------------------------------------------------------
@given(SETTINGS)
def test_setting_comes_back_from_the_virtual_service(setting: RouteSetting) -> None:
    assert setting_from(WINE, virtual_service(WINE, setting, PLACE)) == setting


@given(SETTINGS, st.lists(st.integers(0, 100), min_size=2, max_size=4))
def test_split_changes_traffic_and_roles_and_adds_up(setting: RouteSetting, shares: list[int]) -> None:
    present = seldon_deployment(*shares)
    before = copy.deepcopy(present)
    after = with_split(present, setting, PLACE.namespace)
    assert after is not None
    assert present == before
    if setting.stable or setting.candidate:
        assert sum(one["traffic"] for one in after["spec"]["predictors"]) == 100
    for manifest in (before, after):
        manifest["metadata"].pop("annotations")
        for predictor in manifest["spec"]["predictors"]:
            predictor.pop("traffic")
    assert after == before


@given(SETTINGS)
def test_setting_that_all_agree_on_leaves_no_doubt(setting: RouteSetting) -> None:
    present = with_split(seldon_deployment(100, 0), setting, PLACE.namespace)
    assert present is not None
    shares = {one["name"]: one["traffic"] for one in present["spec"]["predictors"]}
    assert doubts(setting, Around(present, of_operator(**shares), ready(1, 2))) == ""


CANARY = RouteSetting(TrafficSplit(10), arm(1), arm(2))
ROLES = (arm(1).ref, arm(2).ref)


def test_weights_changed_in_the_seldon_deployment_are_told() -> None:
    around = Around(seldon_deployment(40, 60, roles=ROLES), of_operator(v1=90, v2=10), ready(1, 2))
    assert doubts(CANARY, around) == "the SeldonDeployment wine gives v1 40 %, not 90 %"


def test_operator_that_has_not_caught_up_is_told_while_it_can_write() -> None:
    present, behind = seldon_deployment(90, 10, roles=ROLES), of_operator(v1=100, v2=0)
    said = "the operator's VirtualService wine still gives 100 % to wine-v1"
    assert doubts(CANARY, Around(present, behind, ready(1, 2))) == said
    assert doubts(CANARY, Around(present, behind, ready(1))) == ""  # the candidate crash-loops
    noticed_nothing_yet = seldon_deployment(90, 10, roles=ROLES, state="Creating")
    assert doubts(CANARY, Around(noticed_nothing_yet, behind, ready(1, 2))) == ""
    said = "the operator has not written a VirtualService for wine yet"
    assert doubts(CANARY, Around(present, None, ready(1, 2))) == said


def test_removed_predictor_in_the_operators_virtual_service_does_not_matter_without_weight() -> None:
    around = Around(seldon_deployment(90, 10, roles=ROLES), of_operator(v1=90, v2=10, v9=0), ready(1, 2))
    assert doubts(CANARY, around) == ""


def test_virtual_service_changed_by_somebody_is_told_with_its_field() -> None:
    around = Around(seldon_deployment(90, 10, roles=ROLES), of_operator(v1=90, v2=10), ready(1, 2))
    said = "the VirtualService portal-wine is not as the portal writes it: spec.exportTo is ['.'], and should"
    assert doubts(CANARY, around, exportTo=["."]).startswith(said)


def test_first_version_has_everything_at_seldons_address_and_nothing_at_ours() -> None:
    first = RouteSetting(TrafficSplit(0), None, arm(1))
    present = with_split(seldon_deployment(0), first, PLACE.namespace)
    assert present is not None
    assert [one["traffic"] for one in present["spec"]["predictors"]] == [100]
    assert virtual_service(WINE, first, PLACE)["spec"]["http"][-1]["directResponse"]["status"] == 503
    assert doubts(first, Around(present, of_operator(v1=100), ready(1))) == ""


def test_arm_without_a_predictor_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="no predictor for acme-production-wine-2"):
        with_split(seldon_deployment(100), CANARY, PLACE.namespace)
    elsewhere = RouteSetting(TrafficSplit(10), arm(1), Arm(arm(2).ref, "10.0.0.1:80"))
    with pytest.raises(Refused, match=r"no predictor for acme-production-wine-2 at 10\.0\.0\.1:80"):
        with_split(seldon_deployment(100, 0), elsewhere, PLACE.namespace)


@pytest.mark.parametrize(
    ("route", "setting", "why"),
    [
        (Route("globex", "production", "wine"), CANARY, "is not of acme/production"),
        (Route("acme", "staging", "wine"), CANARY, "is not of acme/production"),
        (Route("acme", "production", "wine/../x"), CANARY, "cannot be part of an address"),
        (WINE, RouteSetting(TrafficSplit(0), arm(1), None, (ServiceMatch("a|b"),)), "cannot be part"),
        (WINE, RouteSetting(TrafficSplit(10), None, arm(2)), "no stable version"),
    ],
    ids=["tenant", "environment", "model", "service", "split"],
)
def test_check_refuses_what_does_not_belong_here(route: Route, setting: RouteSetting, why: str) -> None:
    check(WINE, CANARY, PLACE)
    with pytest.raises(Refused, match=why):
        check(route, setting, PLACE)


def test_differences_name_the_field_and_both_values() -> None:
    wanted = {"ports": [{"port": 8080}], "kept": 1, "gone": {"a": 1}, "list": [1, 2]}
    found = {"ports": [{"port": 9090}], "kept": 1, "added": "x", "list": [1]}
    assert list(differences(wanted, found)) == [
        "spec.ports[0].port is 9090, not 8080",
        "spec.gone is missing",
        "spec.list has 1 entries, not 2",
        "spec.added is x, and should not be there",
    ]
