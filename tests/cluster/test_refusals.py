"""A cluster that refuses what a release needs, or lacks it: what people are told, and how it goes on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import rights
from tests.cluster.api import (
    NAMESPACE,
    QUOTA,
    ROLE_BINDING,
    SELDON_DEPLOYMENT,
    SERVICE_ACCOUNT,
    WEBHOOK,
    until,
)
from tests.cluster.conftest import TENANT, TENANT_LABEL, TestCluster
from tests.cluster.rig import ClusterRig, canary, give_away, rig, told

__all__ = ["rig"]

pytestmark = pytest.mark.timeout(180)

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


# ---- the cluster says no -------------------------------------------------------------------------
def test_quota_refuses_the_pods_is_told_and_the_release_goes_on_when_there_is_room(rig: ClusterRig) -> None:
    rig.serve(rig.register())
    rig.api.create(QUOTA, {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "2"}}}, rig.namespace)
    release = rig.file(rig.register())
    told(rig, release, "deploying: its pods cannot be made: pods ")
    assert (
        "is forbidden: exceeded quota: full, requested: pods=1, used: pods=2, limited: pods=2"
        in release.reason
    )
    rig.api.patch(QUOTA, "full", rig.namespace, {"spec": {"hard": {"pods": "9"}}})
    rig.run(release, "succeeded")


def test_policy_of_the_cluster_refuses_the_manifest_before_anything_moves_and_names_the_field(
    rig: ClusterRig,
) -> None:
    rig.serve(rig.register())
    with refusing(rig, "Only images of our own registry: ask the platform team."):
        release = rig.run(rig.file(rig.register()), "rejected")
        assert release.reason.startswith("preflight: ")
        assert "Only images of our own registry: ask the platform team." in release.reason
        assert [each["name"] for each in rig.seldon_deployment()["spec"]["predictors"]] == ["v1-0-0"]
    rig.run(rig.file(release.version), "succeeded")


@contextlib.contextmanager
def refusing(rig: ClusterRig, said: str) -> Iterator[None]:
    """The cluster has a policy that no predictor but the first fulfils."""
    name = f"own-images-{rig.namespace}"
    resources = {
        "apiGroups": ["machinelearning.seldon.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["seldondeployments"],
    }
    expression = "object.spec.predictors.size() < 2"
    spec = {
        "matchConstraints": {"resourceRules": [resources]},
        "validations": [{"expression": expression, "message": said}],
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": rig.namespace}}
        },
    }
    bindings = POLICIES.replace("policies", "policybindings")
    rig.api.call("POST", POLICIES, {"metadata": {"name": name}, "spec": spec})
    rig.api.call("POST", bindings, {"metadata": {"name": name}, "spec": binding})
    try:
        until(lambda: _is_refused(rig), "the policy is in effect")
        yield
    finally:
        rig.api.call("DELETE", f"{bindings}/{name}")
        rig.api.call("DELETE", f"{POLICIES}/{name}")
        until(lambda: not _is_refused(rig), "the policy is gone")


def _is_refused(rig: ClusterRig) -> bool:
    """Whether a second predictor is refused, tried dry."""
    found = rig.seldon_deployment()
    (first,) = found["spec"]["predictors"]
    second = {**first, "name": "second", "traffic": 0}
    body: dict[str, Any] = {"spec": {"predictors": [first, second]}}
    path = SELDON_DEPLOYMENT.path(rig.namespace, "wine")
    try:
        rig.api.call("PATCH", path, body, "application/merge-patch+json", dryRun="All")
    except Exception as error:
        return "platform team" in str(error)
    return False


def test_webhook_that_is_away_is_waited_for(rig: ClusterRig, cluster: TestCluster) -> None:
    """As while Seldon's operator is being updated: its webhook must answer, and does not."""
    if not cluster.box:
        pytest.skip("only on a cluster of our own")
    rig.serve(rig.register())
    (known,) = rig.api.list(WEBHOOK)
    broken = {**known, "webhooks": [{**known["webhooks"][0], "timeoutSeconds": 1}]}
    broken["webhooks"][0]["clientConfig"] = {
        **known["webhooks"][0]["clientConfig"],
        "url": "https://127.0.0.1:9/validate",
    }
    rig.api.replace(WEBHOOK, broken)
    try:
        release = rig.file(rig.register())
        for _ in range(5):
            rig.tick()
        release.refresh_from_db()
        said = f"{release.reason} {list(release.checks.values_list('reason', flat=True))}"
        assert release.phase in ("validating", "deploying")
        assert "failed calling webhook" in said
    finally:
        version = rig.api.get(WEBHOOK, known["metadata"]["name"])
        assert version
        known["metadata"]["resourceVersion"] = version["metadata"]["resourceVersion"]
        rig.api.replace(WEBHOOK, known)
    rig.run(release, "succeeded")


# ---- what is missing -----------------------------------------------------------------------------
def test_missing_namespace_is_told_with_what_to_do_and_the_release_goes_through_when_it_is_there(
    db: None, cluster: TestCluster, tmp_path: Path
) -> None:
    with cluster.namespace() as known:
        name = f"{known}-missing"
        rig = ClusterRig(tmp_path / "artifacts")
        rig.settle(cluster.api, str(cluster.portal), name)
        rights.grant(cluster.api, [])
        release = rig.run(rig.file(rig.register()), "rejected")
        assert f"the namespace {name} is not open to the portal" in release.reason
        assert (
            "Perhaps it does not exist: whoever rules the cluster creates it with the label" in release.reason
        )
        cluster.api.create(NAMESPACE, {"metadata": {"name": name, "labels": {TENANT_LABEL: TENANT}}})
        until(lambda: cluster.api.get(SERVICE_ACCOUNT, "default", name), "service account")
        give_away(cluster.api, name)
        rig.run(rig.file(release.version), "succeeded")
        cluster.api.delete(NAMESPACE, name)


def test_namespace_of_another_tenant_is_refused_until_it_is_given_away(rig: ClusterRig) -> None:
    rig.api.patch(NAMESPACE, rig.namespace, None, {"metadata": {"labels": {TENANT_LABEL: "globex"}}})
    release = rig.run(rig.file(rig.register()), "rejected")
    assert f"has {TENANT_LABEL}=globex, so it is not {TENANT}'s" in release.reason
    assert f"kubectl label namespace {rig.namespace} {TENANT_LABEL}={TENANT}" in release.reason
    rig.api.patch(NAMESPACE, rig.namespace, None, {"metadata": {"labels": {TENANT_LABEL: TENANT}}})
    rig.run(rig.file(release.version), "succeeded")


def test_missing_rights_are_told_by_name_and_the_release_goes_on_when_they_are_given(rig: ClusterRig) -> None:
    release = canary(rig)
    for binding in rig.api.list(ROLE_BINDING, rig.namespace):
        rig.api.delete(ROLE_BINDING, binding["metadata"]["name"], rig.namespace)
    told(rig, release, "is forbidden: User ")
    rights.grant(rig.api, [rig.namespace])
    rig.run(release, "succeeded")
