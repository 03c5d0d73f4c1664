"""What a deployment needs before its target can be asked for it: its artifact, in the portal's store and
where the target fetches it from. `look_for` only looks; `copy` is the heavy work.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from releases import ports
from releases.domain.release import Phase
from releases.models import Deployment, Endpoint, ModelVersion, Release
from releases.ports import ArtifactMirror, Refused, Unreachable
from releases.services import deployments, locks
from releases.services.artifacts import ArtifactStore, restore

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


class Lack(StrEnum):
    """What stands between a deployment and its target."""

    NOTHING = "nothing"
    FETCHING = "fetching"
    COPYING = "copying"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Supply:
    """How far the artifact of a deployment is, and a sentence about it."""

    deployment: ports.Deployment
    lack: Lack = Lack.NOTHING
    said: str = ""


def look_for(
    endpoint: Endpoint, version: ModelVersion, digest: str, store: ArtifactStore, mirror: ArtifactMirror
) -> Supply:
    """How far it is; never raises for an engine that is away."""
    wanted = deployments.describe(endpoint, version, digest, store)
    if not store.holds(digest):
        return Supply(wanted, Lack.FETCHING, "its artifact is being fetched from the registry again")
    try:
        if mirror.holds(wanted):
            return Supply(wanted)
        return Supply(wanted, Lack.COPYING, f"the artifact is being copied to {mirror.address(wanted)}")
    except Unreachable as error:
        return Supply(wanted, Lack.UNKNOWN, f"nobody knows whether the artifact is there yet: {error}")
    except Refused as error:
        return Supply(wanted, Lack.REFUSED, str(error))


def copy(ref: str, ports_of: Callable[[str], ports.Ports], store: ArtifactStore, clock: Clock) -> None:
    """Copy the artifact of a deployment to where its target fetches it from; nothing when another worker is
    at it. A release that waits for what can never be copied is told. Raises `Unreachable`."""
    related = ("endpoint__tenant", "endpoint__environment", "endpoint__model", "version__model")
    row = Deployment.objects.select_related(*related).filter(ref=ref).first()
    if row is None:
        return
    with locks.held("mirror", ref) as is_ours:
        if not is_ours:
            return
        engines = ports_of(row.endpoint.environment.place)
        try:
            wanted = deployments.describe(row.endpoint, row.version, row.digest, store)
            if not engines.mirror.holds(wanted):
                restore(row.version, engines.registry, store)  # what is copied is what was validated
                engines.mirror.put(wanted)
        except Refused as error:
            logger.warning("the artifact of %s cannot be copied: %s", ref, error)
            waiting = Release.objects.filter(
                endpoint=row.endpoint, version=row.version, phase=Phase.DEPLOYING
            )
            waiting.update(refusal=str(error), next_wake_at=clock())
