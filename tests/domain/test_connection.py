"""Connections, network rules and callers: whatever Kubernetes or Istio would not take names its field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.connection import KubernetesConnection
from releases.domain.errors import Invalid
from releases.domain.kubernetes_syntax import labels, labels_problem, quantity, url_problem
from releases.domain.network import Callers, NetworkRules

GOOD: dict[str, Any] = {
    "cluster": "main",
    "namespace": "acme-production",
    "gateway_url": "https://models.example.com",
    "artifacts": "s3://models/acme",
    "artifacts_secret": "models-s3",
}
ISSUER: dict[str, Any] = {"issuer": "https://id.example.com", "jwks_uri": "https://id.example.com/jwks"}
names = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


def fields_of(make: Any, **values: Any) -> list[str]:
    """The fields that a construction names; none when it succeeds."""
    try:
        make(**values)
    except Invalid as refused:
        return list(refused.fields)
    return []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster", ""),
        ("namespace", "Acme"),
        ("namespace", "a" * 64),
        ("namespace", "acme\n"),
        ("gateway_url", "models.example.com"),
        ("gateway_url", "ftp://models.example.com"),
        ("gateway_url", "https://models.example.com/v2"),
        ("gateway_url", "https://ada:secret@models.example.com"),
        ("gateway_url", "https://*.example.com"),
        ("gateway_url", "https://models.example.com:70000"),
        ("gateway_url", "https://models.example.com\n"),
        ("istio_gateway", "seldon-gateway"),
        ("istio_gateway", "istio-system/"),
        ("artifacts", "models/acme"),
        ("artifacts", "s3://M/acme"),
        ("artifacts", "s3://models/../other"),
        ("artifacts", "gs://models"),
        ("artifacts_secret", "my secret"),
        ("models_secret", "my secret"),
        ("model_image", "seldonio/mlserver:1.7.1 --privileged"),
        ("cpu_request", ""),
        ("cpu_request", "a lot"),
        ("cpu_request", "0"),
        ("cpu_limit", "100m"),
        ("memory_request", "1"),
        ("memory_limit", "512Mi"),
        ("memory_limit", "2GB"),
        ("start_seconds", 0),
        ("start_seconds", 100_000),
        ("metrics_from", "graphite"),
        ("prometheus_url", "prometheus:9090"),
    ],
)
def test_connection_with_a_bad_value_names_its_field(field: str, value: Any) -> None:
    assert fields_of(KubernetesConnection, **{**GOOD, field: value}) == [field]
    assert fields_of(KubernetesConnection, **GOOD) == []


def test_connection_that_counts_with_prometheus_has_to_say_where_it_is() -> None:
    wanted = {**GOOD, "metrics_from": "prometheus-istio"}
    assert fields_of(KubernetesConnection, **wanted) == ["prometheus_url"]
    assert fields_of(KubernetesConnection, **wanted, prometheus_url="http://prometheus.monitoring:9090") == []


def test_connection_without_limits_needs_none() -> None:
    assert fields_of(KubernetesConnection, **GOOD, cpu_limit="", memory_limit="", model_image="") == []


def test_connection_tells_its_host_without_the_port() -> None:
    connection = KubernetesConnection(**{**GOOD, "gateway_url": "http://models.example.com:8443"})
    assert connection.host == "models.example.com"


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), st.text(max_size=80)))
def test_connection_of_any_text_is_constructed_or_names_its_fields(values: dict[str, str]) -> None:
    named = fields_of(KubernetesConnection, **{**GOOD, **values})
    assert set(named) <= set(values)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("models", "model-server"),
        ("callers", "app="),
        ("registry", "=mlflow"),
        ("storage", "app=minio,app=other"),
        ("dns", "k8s app=kube-dns"),
        ("models", "app=a b"),
        ("models_port", 0),
        ("registry_port", 65_536),
        ("storage_port", -1),
    ],
)
def test_network_rules_with_a_bad_value_name_their_field(field: str, value: Any) -> None:
    assert fields_of(NetworkRules, **{field: value}) == [field]


@given(st.dictionaries(names, names, min_size=1, max_size=4))
def test_labels_written_are_read_as_they_were(wanted: dict[str, str]) -> None:
    text = ", ".join(f"{key}={value}" for key, value in wanted.items())
    assert labels_problem(text) == ""
    assert labels(text) == wanted


def test_labels_may_have_a_prefix() -> None:
    assert labels_problem("app.kubernetes.io/managed-by=seldon-core") == ""
    assert labels_problem("app.kubernetes.io/=seldon-core")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("issuer", {**ISSUER, "issuer": "http://id.example.com"}),
        ("jwks_uri", {**ISSUER, "jwks_uri": "http://id.example.com/jwks"}),
        ("jwks_uri", {"issuer": ISSUER["issuer"]}),
        ("issuer", {"jwks_uri": ISSUER["jwks_uri"]}),
        ("claim", {"claim": ""}),
        ("claim", {"claim": "tenant]"}),
        ("audiences", {"audiences": ("*",)}),
        ("namespaces", {"namespaces": ("Shop",)}),
        ("namespaces", {"namespaces": ("*",)}),
        ("principals", {"principals": ("*",)}),
        ("principals", {"principals": ("cluster.local/ns/*/sa/checkout",)}),
        ("principals", {"principals": ("spiffe://cluster.local/ns/shop/sa/checkout",)}),
        ("portal", {**ISSUER, "portal": "https://other.example.com/portal"}),
        ("portal", {**ISSUER, "portal": "https://id.example.com/*"}),
        ("portal", {"portal": "https://id.example.com/portal"}),
    ],
)
def test_callers_that_would_let_in_anybody_or_nobody_name_their_field(
    field: str, values: dict[str, Any]
) -> None:
    assert fields_of(Callers, **values) == [field]


def test_callers_are_tied_by_an_issuer_or_by_workloads() -> None:
    good = Callers(**ISSUER, portal="https://id.example.com/portal", audiences=("models",))
    assert good.is_tied
    assert Callers(principals=("cluster.local/ns/shop/sa/checkout",)).is_tied
    assert not Callers().is_tied


@given(st.text(max_size=60))
def test_url_of_any_text_is_judged_without_an_error(text: str) -> None:
    said = url_problem(text, ("https",))
    assert bool(said) or text.startswith("https://")


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2), ("1.5Gi", 1.5 * 1024**3), ("3k", 3000)])
def test_quantity_has_the_value_that_kubernetes_gives_it(text: str, value: float) -> None:
    amount = quantity(text)
    assert amount is not None
    assert float(amount) == value
