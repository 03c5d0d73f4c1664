"""Move the world towards what has been decided and stored. Absolute and repeatable, so a crash half way
costs one pass. Takes no decision about a release."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from releases.domain.release import Phase
from releases.domain.routing import Route, RouteSetting
from releases.models import ModelVersion, Release
from releases.ports import AdapterError, Ports, Refused
from releases.services import manifests
from releases.services.artifacts import ArtifactStore
from releases.services.supplies import Lack, Supply
from releases.services.world import ROUTED, World, deployments_of, wanted_setting

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Errands:
    """Heavy work that is done elsewhere; each may be asked for again and again, and may get lost."""

    validate: Callable[[str], object]
    smoke: Callable[[str], None]
    fetch: Callable[[int], None]
    mirror: Callable[[str], None]
    announce: Callable[[str], None]
    store: ArtifactStore


def converge(releases: Sequence[Release], world: World, ports: Ports, errands: Errands, at: datetime) -> None:
    """Bring routes and deployments about, and send for the work that is due."""
    _routes(releases, world, ports)
    for release in releases:
        phase = Phase(release.phase)
        try:
            if phase is Phase.VALIDATING:
                errands.validate(release.pk)
            else:
                _deployments(release, world, ports, errands, at)
                if phase is Phase.SMOKE_TESTING:
                    errands.smoke(release.pk)
        except AdapterError as error:
            logger.warning("release %s: %s", release.pk, error)


def _routes(releases: Sequence[Release], world: World, ports: Ports) -> None:
    """One call for all routes that are not as they should be; unknown ones are written again."""
    wanted: dict[Route, RouteSetting] = {}
    gone: list[Route] = []
    for release in releases:
        if Phase(release.phase) not in ROUTED:
            continue
        route = release.endpoint.route
        try:
            setting = wanted_setting(release, world)
        except LookupError as error:
            logger.warning("release %s: %s", release.pk, error)
            continue
        if world.routes is not None and world.routes.get(route) == setting:
            continue
        if setting is None:
            gone.append(route)
        else:
            wanted[route] = setting
    _apply(wanted, gone, ports)


def _apply(wanted: Mapping[Route, RouteSetting], gone: Sequence[Route], ports: Ports) -> None:
    try:
        if wanted:
            ports.router.apply(wanted)
        if gone:
            ports.router.remove(gone)
    except AdapterError as error:
        # The next pass sees that it is not in effect, says so, and tries again.
        logger.warning("the gateway did not take %d routes: %s", len(wanted) + len(gone), error)


def _deployments(release: Release, world: World, ports: Ports, errands: Errands, at: datetime) -> None:
    for ref, version, _ in deployments_of(release):
        supply = world.supplies.get(ref)
        if supply is None:
            continue
        is_candidate = version.pk == release.version_id
        try:
            if send_for(supply, version, errands):
                continue
            if is_candidate and release.phase == Phase.DEPLOYING:
                manifests.try_dry(release, supply.deployment, ports.preflight, at)
            ports.target.ensure(supply.deployment)
        except Refused as error:
            if is_candidate:
                Release.objects.filter(pk=release.pk).update(refusal=str(error))
            logger.warning("release %s: %s is refused: %s", release.pk, ref, error)
        else:
            if is_candidate:
                manifests.note_applied(release, at)


def send_for(supply: Supply, version: ModelVersion, errands: Errands) -> bool:
    """Send for what a deployment lacks; False when it lacks nothing. `Refused` when it cannot be had."""
    if supply.lack is Lack.REFUSED:
        raise Refused(supply.said)
    if supply.lack is Lack.FETCHING:
        errands.fetch(version.pk)
    elif supply.lack is Lack.COPYING:
        errands.mirror(supply.deployment.ref)
    return supply.lack is not Lack.NOTHING
