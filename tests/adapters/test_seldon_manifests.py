"""Manifests for Seldon Core: names for any version, and that only what has to change does."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.adapters import seldon_objects as seldon
from releases.adapters.artifact_uri import artifact_place, parse_artifacts
from releases.adapters.kubernetes_api import Cluster, ClusterConfig
from releases.adapters.seldon_place import SeldonPlace, namespace_refusal
from releases.adapters.target.seldon_manifests import (
    autoscaler,
    predictor,
    with_predictor,
    with_replicas,
    without_predictor,
)
from releases.domain.autoscaling import Autoscaling
from releases.domain.version import SemanticVersion
from releases.ports import Deployment, Refused

DIGEST = "sha256:" + "ab" * 32
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
PLACE = SeldonPlace(
    Cluster(ClusterConfig("test", "")), "acme-production", "acme", "production", "s3://models/x", "s3-models"
)
IDENTIFIER = st.from_regex(r"[a-zA-Z-][0-9a-zA-Z-]{0,8}|0|[1-9]\d{0,4}", fullmatch=True)
VERSIONS = st.builds(
    SemanticVersion,
    *[st.integers(0, 99_999)] * 3,
    st.lists(IDENTIFIER, max_size=3).map(".".join),
).map(str)


def deployment(version: str = "1.4.0", **changes: Any) -> Deployment:
    ref = changes.pop("ref", f"ref-{seldon.predictor_name(version)}")
    return Deployment(
        ref, "acme", "production", "wine", version, changes.pop("digest", DIGEST), Path(), **changes
    )


def shares(manifest: Mapping[str, Any]) -> dict[str, int]:
    return {one["name"]: seldon.traffic(one) for one in seldon.predictors(manifest)}


@given(VERSIONS)
def test_every_version_has_a_name_that_kubernetes_takes(version: str) -> None:
    name = seldon.predictor_name(version)
    assert DNS_LABEL.fullmatch(name)
    assert name.startswith(f"v{version.split('.')[0]}-")


@given(VERSIONS, VERSIONS)
def test_two_versions_share_a_predictor_only_if_one_is_refused(one: str, other: str) -> None:
    first = with_predictor(None, deployment(one, ref="first"), PLACE)
    if seldon.predictor_name(one) == seldon.predictor_name(other):
        with pytest.raises(Refused, match=r"register it as another version|never changes"):
            with_predictor(first, deployment(other, ref="second"), PLACE)
    else:
        both = with_predictor(first, deployment(other, ref="second"), PLACE)
        assert list(shares(both).values()) == [100, 0]


def test_names_say_what_they_are_of() -> None:
    assert seldon.predictor_name("1.4.0") == "v1-4-0"
    assert seldon.workload_name("wine", "v1-4-0") == "wine-v1-4-0-0-model"
    assert seldon.address("wine", "v1-4-0", "acme") == "wine-v1-4-0.acme.svc.cluster.local:8000"
    assert seldon.autoscaler_name("wine", "v1-4-0") == "portal-wine-v1-4-0"


@given(st.lists(VERSIONS, min_size=1, max_size=5, unique_by=seldon.predictor_name), st.data())
def test_shares_sum_to_100_whatever_comes_and_goes(versions: list[str], data: st.DataObject) -> None:
    present = None
    for version in versions:
        present = with_predictor(present, deployment(version), PLACE)
    assert present is not None
    while len(shares(present)) > 1:
        assert sum(shares(present).values()) == 100
        refs = [seldon.ref(one) for one in seldon.predictors(present)]
        gone = data.draw(st.sampled_from(refs))
        before = {seldon.ref(one): one for one in seldon.predictors(present)}
        present = without_predictor(present, gone)
        for one in seldon.predictors(present):
            was = before[seldon.ref(one)]
            assert {**one, "traffic": 0} == {**was, "traffic": 0}
    assert sum(shares(present).values()) == 100


def test_version_that_is_there_keeps_its_place_and_its_share() -> None:
    present = None
    for version in ("1.2.0", "1.3.0", "1.4.0"):
        present = with_predictor(present, deployment(version), PLACE)
    assert present is not None
    for one, share in zip(present["spec"]["predictors"], (20, 30, 50), strict=True):
        one["traffic"] = share
    again = with_predictor(present, deployment("1.3.0"), PLACE)
    assert shares(again) == {"v1-2-0": 20, "v1-3-0": 30, "v1-4-0": 50}


def test_roles_of_the_split_outlive_a_new_version() -> None:
    present = with_predictor(None, deployment("1.3.2"), PLACE)
    assert seldon.roles(present) == ("", "")
    present["metadata"]["annotations"][seldon.STABLE] = "ref-v1-3-2"
    after = with_predictor(present, deployment("1.4.0"), PLACE)
    assert seldon.roles(after) == ("ref-v1-3-2", "")


def test_scaling_changes_who_rules_the_replicas_and_nothing_else() -> None:
    fixed, scaled = deployment(), deployment(autoscaling=Autoscaling())
    present = with_predictor(None, fixed, PLACE)
    assert seldon.predictors(present)[0]["replicas"] == 1
    after = with_replicas(present, scaled)
    assert "replicas" not in seldon.predictors(after)[0]
    assert with_replicas(after, fixed) == present
    assert autoscaler(fixed, PLACE) is None
    made = autoscaler(scaled, PLACE)
    assert made is not None
    assert made["spec"]["scaleTargetRef"]["name"] == "wine-v1-4-0-0-model"
    assert seldon.label(made)[seldon.REF] == scaled.ref


def test_pod_is_what_the_environment_says() -> None:
    place = SeldonPlace(
        **{
            name: getattr(PLACE, name)
            for name in ("cluster", "namespace", "tenant", "environment", "artifacts")
        },
        artifacts_secret="s3-models",
        model_image="registry.test/mlserver:1",
        cpu_request="250m",
        cpu_limit="",
        memory_limit="",
        start_seconds=1234,
        pod_labels="app=model-server,team=wine",
    )
    made = predictor(deployment(), place, 0)
    container = made["componentSpecs"][0]["spec"]["containers"][0]
    assert container["image"] == "registry.test/mlserver:1"
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "1Gi"}}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 1234
    assert made["progressDeadlineSeconds"] == 1234
    assert made["graph"]["envSecretRefName"] == "s3-models"
    assert made["labels"] == {seldon.REF: "ref-v1-4-0", "app": "model-server", "team": "wine"}
    assert "image" not in predictor(deployment(), PLACE, 0)["componentSpecs"][0]["spec"]["containers"][0]


def test_model_server_gets_the_secret_of_its_environment_and_nobody_else_does() -> None:
    made = predictor(deployment(), replace(PLACE, models_secret="beside"), 0)
    [container] = made["componentSpecs"][0]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "beside"}}]
    del container["envFrom"]
    assert made == predictor(deployment(), PLACE, 0)


def test_every_container_requests_cpu_and_the_metrics_port_is_no_matter_of_position() -> None:
    made = predictor(deployment(), PLACE, 0)
    container = made["componentSpecs"][0]["spec"]["containers"][0]
    assert container["resources"]["requests"]["cpu"] == "500m"
    assert made["svcOrchSpec"]["resources"]["requests"]["cpu"]
    assert {"name": "metrics", "containerPort": 6000, "protocol": "TCP"} in container["ports"]


@pytest.mark.parametrize(
    ("artifacts", "uri"),
    [
        ("s3://models", "s3://models/acme/wine/1.4.0/" + "ab" * 32),
        ("s3://models/", "s3://models/acme/wine/1.4.0/" + "ab" * 32),
        ("s3://models/a/b/", "s3://models/a/b/acme/wine/1.4.0/" + "ab" * 32),
    ],
)
def test_artifact_lies_under_its_digest(artifacts: str, uri: str) -> None:
    assert artifact_place(artifacts, deployment()).uri == uri


@pytest.mark.parametrize(
    "artifacts", ["", "models", "s3:/models", "s3://", "runs:/abc/model", "mlflow-artifacts:/1"]
)
def test_artifacts_that_pods_cannot_fetch_are_refused(artifacts: str) -> None:
    with pytest.raises(Refused, match="expected s3://bucket/prefix"):
        parse_artifacts(artifacts)


@pytest.mark.parametrize("digest", ["", "../..", "sha256:", "sha256:a/b"])
def test_digest_that_leads_elsewhere_is_refused(digest: str) -> None:
    with pytest.raises(Refused, match="is not the digest"):
        artifact_place("s3://models", deployment(digest=digest))


def test_namespace_is_used_only_with_the_tenants_label() -> None:
    assert namespace_refusal({"metadata": {"labels": {seldon.TENANT: "acme"}}}, PLACE) == ""
    assert "does not exist" in namespace_refusal(None, PLACE)
    assert "has no label" in namespace_refusal({"metadata": {}}, PLACE)
    assert "=globex, so it is not acme's" in namespace_refusal(
        {"metadata": {"labels": {seldon.TENANT: "globex"}}}, PLACE
    )


def test_weights_and_places_of_a_virtual_service() -> None:
    def to(host: str, port: int = 8000, **more: int) -> dict[str, Any]:
        return {"destination": {"host": host, "port": {"number": port}}, **more}

    routes = [
        {"route": [to("a", weight=90), to("b", weight=10), to("c")]},
        {"route": [to("d", 5001, weight=100)], "mirror": {"host": "e"}},
        {"route": [to("b")]},
    ]
    found = {"spec": {"http": routes}}
    assert seldon.weights(found) == {"a": 90, "b": 100, "c": 0}
    assert seldon.mentions(found) == {"a", "b", "c", "d", "e"}
