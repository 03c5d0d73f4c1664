"""Brings the autoscaling of what runs to what the policies say now: they are the only part of a deployment
that may change while it runs."""

import logging
from collections.abc import Iterable
from datetime import datetime

from releases.domain.release import DEPLOYED, Phase
from releases.models import Endpoint, Environment, ModelVersion, Release
from releases.models.places import TargetKind
from releases.ports import Refused, ServingTarget
from releases.services import deployments, history
from releases.services.artifacts import ArtifactStore
from releases.services.scaling import OFF_POLICY, difference, scaling
from tenants import audit

logger = logging.getLogger(__name__)

_RUNNING = sorted(DEPLOYED | {Phase.ROLLING_BACK})


def rescale_releases(
    environments: Iterable[Environment], target: ServingTarget, store: ArtifactStore, at: datetime
) -> None:
    """The deployments of running releases, which the watchdog leaves alone. Raises `Unreachable`."""
    known = [environment for environment in environments if environment.target == TargetKind.SELDON]
    if not known:
        return
    wanted = scaling(known)
    running = Release.objects.filter(endpoint__environment__in=known, phase__in=_RUNNING).select_related(
        "endpoint__tenant", "endpoint__environment", "endpoint__model", "version", "stable"
    )
    arms = [(release, *arm) for release in running for arm in _arms(release)]
    status = target.status([ref for _, _, _, ref in arms]) if arms else {}
    drifts: dict[int, tuple[Endpoint, str]] = {}
    for release, version, digest, ref in arms:
        endpoint = release.endpoint
        drift = difference(status[ref], wanted.of(endpoint))
        drifts[endpoint.pk] = endpoint, drifts.get(endpoint.pk, (endpoint, ""))[1] or drift
        if not drift:
            continue
        try:
            target.ensure(deployments.describe(endpoint, version, digest, store))
        except Refused as error:
            logger.warning("%s cannot be scaled: %s", ref, error)
    for endpoint, drift in drifts.values():
        _keep(endpoint, drift[:300], at)


def record(endpoint: Endpoint, drift: str, at: datetime) -> None:
    """Into the audit log, once as long as it stays the same: an endpoint did not scale as wanted."""
    if drift != endpoint.drift:
        audit.record(
            endpoint.tenant,
            at=at,
            actor=history.PORTAL,
            action="endpoint.rescaled",
            subject=endpoint.route.name,
            detail={"found": drift},
        )


def _arms(release: Release) -> list[tuple[ModelVersion, str, str]]:
    """Version, digest and ref of what runs for a release."""
    versions = [(release.version, release.digest)]
    if release.stable is not None:
        versions.append((release.stable, release.stable.digest))
    return [(v, digest, deployments.deployment_ref(release.endpoint, v, digest)) for v, digest in versions]


def _keep(endpoint: Endpoint, drift: str, at: datetime) -> None:
    """Of what the watchdog left on the endpoint, only what is about scaling is replaced."""
    if endpoint.drift == drift or (endpoint.drift and not endpoint.drift.startswith(OFF_POLICY)):
        return
    if drift:
        record(endpoint, drift, at)
    Endpoint.objects.filter(pk=endpoint.pk).update(drift=drift)
