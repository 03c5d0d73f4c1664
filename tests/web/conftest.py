"""A tenant in full swing and everyone of the cast logged in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from releases.domain.release import Phase
from releases.models import Environment, KubernetesPlace, Release
from tests import factories
from tests.traffic import simulate

Login = Callable[[str], Client]
ENVIRONMENTS = "/t/acme/environments/"
SCALING = f"{ENVIRONMENTS}production/autoscaling/"
NETWORK = f"{ENVIRONMENTS}production/network/"
CONNECTION = {
    **{"cluster": "main", "namespace": "acme-lab", "gateway_url": "https://models.example.com"},
    **{"istio_gateway": "istio-system/seldon-gateway", "artifacts": "s3://models/acme"},
    **{"artifacts_secret": "models-s3", "cpu_request": "500m", "memory_request": "1Gi"},
    **{"start_seconds": "600", "metrics_from": "executor"},
}


class Scene:
    """Production and staging of `acme`; wine 1.1.0 in canary, cider 2.0.0 waits for Ben, mead 1.2.0 was
    rolled back and is on hold, perry is free to be released."""

    def __init__(self) -> None:
        self.cast = factories.cast()
        acme = self.cast.acme
        self.staging = factories.environment(acme, "staging")
        self.production = factories.environment(
            acme, "production", approvals_required=1, requires_success_in=self.staging
        )
        now = timezone.now()
        self.canary = self._canary(now)
        cider = factories.model(acme, "cider")
        at_cider = factories.endpoint(self.production, cider, stable=factories.version(cider, "1.0.0"))
        self.waiting = factories.release(
            at_cider,
            factories.version(cider, "2.0.0"),
            Phase.AWAITING_APPROVAL,
            approvals_required=1,
            approvals_expire_at=now + timedelta(hours=5),
        )
        factories.check(self.waiting, "signature", detail=DIFFERENCES, reason="fits")
        mead = factories.model(acme, "mead")
        first, second, third = (factories.version(mead, f"1.{minor}.0") for minor in range(3))
        self.at_mead = factories.endpoint(self.production, mead, stable=second, previous=first)
        self.ended = factories.release(self.at_mead, third, Phase.ROLLED_BACK, started_at=now)
        self.hold = factories.hold(self.ended)
        self.perry = factories.model(acme, "perry")
        factories.version(self.perry, "1.0.0")
        for name in ("mlflow", "gateway", "target", "metrics", "workers"):
            factories.health(name)

    def _canary(self, now: object) -> Release:
        wine = factories.model(self.cast.acme, "wine")
        stable, candidate = factories.version(wine, "1.0.0"), factories.version(wine, "1.1.0")
        at_wine = factories.endpoint(self.production, wine, stable=stable)
        began = timezone.now() - timedelta(seconds=65)
        release = factories.release(at_wine, candidate, Phase.VALIDATING, at=began)
        factories.walk(release, [(Phase.CANARY, began, "smoke test passed; step 1 of 1: 10 % for 300 s")])
        simulate(release, since=began, seconds=60)
        return release


DIFFERENCES = {
    "compared_with": "1.0.0",
    "declared": "major",
    "needed": "major",
    "differences": [
        {
            "where": "input",
            "name": "tannin",
            "before": None,
            "after": "double",
            "change": "major",
            "words": "the input tannin is new and required",
        }
    ],
}


@pytest.fixture
def scene(db: None) -> Scene:
    return Scene()


@pytest.fixture
def login(scene: Scene) -> Login:
    """Log somebody in by name."""

    def as_(name: str) -> Client:
        client = Client()
        client.force_login(getattr(scene.cast, name))
        return client

    return as_


@pytest.fixture
def place(scene: Scene, settings: Any) -> KubernetesPlace:
    """Production is on Kubernetes; wine, cider and mead serve there."""
    settings.KUBERNETES_CLUSTERS = {"main": "/secret/kubeconfig", "edge": "in-cluster"}
    return factories.kubernetes(scene.production)


@pytest.fixture
def lab(scene: Scene, settings: Any) -> Environment:
    """An environment in which nothing serves yet."""
    settings.KUBERNETES_CLUSTERS = {"main": "/secret/kubeconfig", "edge": "in-cluster"}
    return factories.environment(scene.cast.acme, "lab", position=7)
