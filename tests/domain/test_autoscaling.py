"""Autoscaling: valid from its construction on, with the defaults that were asked for, and the same again
when an API server gives its manifest back."""

import copy
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.autoscaling import LIMITS, Autoscaling
from releases.domain.errors import Invalid
from releases.domain.manifests.autoscaling import Scaled, autoscaler, autoscaler_spec, autoscaling

WINE = Scaled("acme", "production", "wine", "1.4.0", "acme-production-wine-v1-4-0-9f3ac1d2", "acme-prod")
METRICS = ("cpu_percent", "requests_per_second", "queue_depth")


def within(name: str) -> st.SearchStrategy[Any]:
    low, high, _ = LIMITS[name]
    numbers = st.integers(low, high)
    return st.none() | numbers if name in METRICS else numbers


values = st.fixed_dictionaries(
    {name: within(name) for name in LIMITS}
    | {"queue": st.from_regex(r"[a-z]([a-z-]{0,20}[a-z])?", fullmatch=True)}
)
any_values = st.fixed_dictionaries(
    {
        name: st.none() | st.integers(-5, 5_000) if name in METRICS else st.integers(-5, 5_000)
        for name in LIMITS
    }
    | {"queue": st.text(max_size=70)}
)


def scalable(values: dict[str, Any]) -> Autoscaling:
    """The nearest valid value."""
    low, high = sorted((values["min_replicas"], values["max_replicas"]))
    cpu = values["cpu_percent"] or 70
    return Autoscaling(**{**values, "min_replicas": low, "max_replicas": high, "cpu_percent": cpu})


def test_autoscaling_defaults_are_those_of_the_product() -> None:
    assert autoscaler_spec(Autoscaling()) == {
        "minReplicas": 2,
        "maxReplicas": 20,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            },
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "requests_per_second"},
                    "target": {"type": "AverageValue", "averageValue": "100"},
                },
            },
            {
                "type": "External",
                "external": {
                    "metric": {
                        "name": "sqs_queue_depth",
                        "selector": {"matchLabels": {"queue": "model-predictions"}},
                    },
                    "target": {"type": "Value", "value": "50"},
                },
            },
        ],
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 300,
                "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
            },
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 30},
                    {"type": "Pods", "value": 4, "periodSeconds": 30},
                ],
            },
        },
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"min_replicas": 0}, "min_replicas"),
        ({"min_replicas": 5, "max_replicas": 4}, "max_replicas"),
        ({"max_replicas": 1_001}, "max_replicas"),
        ({"cpu_percent": 0}, "cpu_percent"),
        ({"cpu_percent": None, "requests_per_second": None, "queue_depth": None}, "cpu_percent"),
        ({"queue": ""}, "queue"),
        ({"queue": "my queue"}, "queue"),
        ({"scale_down_window_seconds": 3_601}, "scale_down_window_seconds"),
        ({"scale_down_period_seconds": 1_801}, "scale_down_period_seconds"),
        ({"scale_down_percent": 101}, "scale_down_percent"),
        ({"scale_up_window_seconds": -1}, "scale_up_window_seconds"),
        ({"scale_up_period_seconds": 0}, "scale_up_period_seconds"),
        ({"scale_up_pods": 0}, "scale_up_pods"),
    ],
)
def test_autoscaling_that_kubernetes_would_refuse_names_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        Autoscaling(**changes)
    assert list(refused.value.fields) == [field]


@given(any_values)
def test_autoscaling_of_any_numbers_is_within_the_limits_or_names_a_field(values: dict[str, Any]) -> None:
    try:
        wanted = Autoscaling(**values)
    except Invalid as error:
        refused: set[str] | None = set(error.fields)
    else:
        refused = None
    if refused is not None:
        assert refused
        assert refused <= asdict(Autoscaling()).keys()
        return
    assert 1 <= wanted.min_replicas <= wanted.max_replicas
    assert any(getattr(wanted, name) is not None for name in METRICS)


@given(values)
def test_autoscaler_read_back_is_what_was_written(values: dict[str, Any]) -> None:
    wanted = scalable(values)
    assert autoscaling(autoscaler(WINE, wanted)) == wanted


def test_autoscaler_read_back_knows_what_an_api_server_writes_otherwise() -> None:
    wanted = Autoscaling(requests_per_second=1_000, queue_depth=2_000_000)
    found = copy.deepcopy(autoscaler(WINE, wanted))
    found["spec"]["metrics"][1]["pods"]["target"]["averageValue"] = "1k"
    found["spec"]["metrics"][2]["external"]["target"]["value"] = "2M"
    found["spec"]["metrics"].reverse()
    found["spec"]["behavior"]["scaleDown"]["selectPolicy"] = "Max"
    assert autoscaling(found) == wanted


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.pop("behavior"),
        lambda spec: spec.pop("metrics"),
        lambda spec: spec["behavior"]["scaleUp"].update(selectPolicy="Disabled"),
        lambda spec: spec["behavior"]["scaleDown"]["policies"].append(
            {"type": "Pods", "value": 1, "periodSeconds": 60}
        ),
        lambda spec: spec["metrics"][0]["resource"].update(name="memory"),
        lambda spec: spec["metrics"][1]["pods"]["target"].update(averageValue="100m"),
        lambda spec: spec["metrics"].append(
            {"type": "Object", "object": {"metric": {"name": "hits"}, "target": {"type": "Value"}}}
        ),
    ],
)
def test_autoscaler_that_says_what_we_cannot_say_is_read_as_none(change: Any) -> None:
    found = copy.deepcopy(autoscaler(WINE, Autoscaling()))
    change(found["spec"])
    assert autoscaling(found) is None


def test_autoscaling_without_a_queue_is_equal_whatever_the_queue_was_called() -> None:
    assert replace(Autoscaling(), queue_depth=None) == Autoscaling(queue="another", queue_depth=None)


def test_autoscaling_in_words_tells_replicas_and_metrics() -> None:
    assert Autoscaling(queue_depth=None).describe() == "2 to 20 replicas by CPU 70 % and 100 requests/s"


def test_autoscaler_is_an_object_of_our_own_for_the_deployment_that_seldon_makes() -> None:
    made = autoscaler(WINE, Autoscaling())
    assert made["metadata"] == {
        "name": "portal-wine-v1-4-0",
        "namespace": "acme-prod",
        "labels": {
            "app.kubernetes.io/managed-by": "mlops-portal",
            "mlops-portal.io/tenant": "acme",
            "mlops-portal.io/environment": "production",
            "mlops-portal.io/model": "wine",
            "mlops-portal.io/ref": WINE.ref,
        },
    }
    assert made["spec"]["scaleTargetRef"]["name"] == "wine-v1-4-0-0-model"
