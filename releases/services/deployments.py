"""Deployments of versions: their names, their rows, and how long they are kept."""

import hashlib
import re
from datetime import datetime, timedelta

from releases import ports
from releases.models import Deployment, Endpoint, ModelVersion
from releases.services.artifacts import ArtifactStore
from releases.services.scaling import scaling

LONGEST_REF = 63


def deployment_ref(endpoint: Endpoint, version: ModelVersion, digest: str) -> str:
    """A name that is the same for the same place, version and digest, DNS-like and never too long:
    acme-production-wine-v1-4-0-9f3ac1d2."""
    readable = f"{endpoint.route.name}/v{version.version}"
    fingerprint = hashlib.sha256(f"{readable}@{digest}".encode()).hexdigest()[:8]
    slug = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")
    return f"{slug[: LONGEST_REF - 9].rstrip('-')}-{fingerprint}"


def keep(endpoint: Endpoint, version: ModelVersion, digest: str, at: datetime) -> Deployment:
    """The row of a deployment that is needed from now on."""
    row, _ = Deployment.objects.update_or_create(
        ref=deployment_ref(endpoint, version, digest),
        defaults={"keep_until": None},
        create_defaults={
            "tenant_id": endpoint.tenant_id,
            "endpoint": endpoint,
            "version": version,
            "digest": digest,
            "created_at": at,
            "keep_until": None,
        },
    )
    return row


def let_go(
    endpoint: Endpoint, version: ModelVersion, digest: str, at: datetime, grace_seconds: float
) -> None:
    """The deployment is needed no longer, but stays warm for the grace time."""
    Deployment.objects.filter(ref=deployment_ref(endpoint, version, digest)).update(
        keep_until=at + timedelta(seconds=grace_seconds)
    )


def describe(
    endpoint: Endpoint, version: ModelVersion, digest: str, store: ArtifactStore
) -> ports.Deployment:
    """What a serving target has to know."""
    return ports.Deployment(
        ref=deployment_ref(endpoint, version, digest),
        tenant=endpoint.tenant.slug,
        environment=endpoint.environment.name,
        model=endpoint.model.name,
        version=str(version.version),
        digest=digest,
        artifact=store.path(digest),
        autoscaling=scaling([endpoint.environment]).of(endpoint),
    )
