"""Move the world towards what has been decided and stored. Absolute and repeatable, so a crash half way
costs one pass. Takes no decision about a release."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from releases.domain.release import DEPLOYED, Phase, TargetState
from releases.domain.routing import Route, RouteSetting
from releases.models import ModelVersion, Release
from releases.ports import AdapterError, Ports, Refused
from releases.services import deployments
from releases.services.artifacts import ArtifactStore
from releases.services.world import ROUTED, World, candidate_ref, stable_ref, wanted_setting

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Errands:
    """Heavy work that is done elsewhere; each may be asked for again and again, and may get lost."""

    validate: Callable[[str], None]
    smoke: Callable[[str], None]
    fetch: Callable[[int], None]
    announce: Callable[[str], None]
    store: ArtifactStore


def converge(releases: Sequence[Release], world: World, ports: Ports, errands: Errands) -> None:
    """Bring routes and deployments about, and send for the work that is due."""
    _routes(releases, world, ports)
    for release in releases:
        phase = Phase(release.phase)
        try:
            if phase is Phase.VALIDATING:
                errands.validate(release.pk)
            elif phase in DEPLOYED:
                _deployments(release, world, ports, errands)
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


def _deployments(release: Release, world: World, ports: Ports, errands: Errands) -> None:
    needed: list[tuple[str, ModelVersion, str]] = [(candidate_ref(release), release.version, release.digest)]
    ref = stable_ref(release)
    if ref is not None and release.stable is not None:
        needed.append((ref, release.stable, release.stable.digest))
    for name, version, digest in needed:
        status = world.status.get(name)
        if status is None or status.state is not TargetState.ABSENT:
            continue
        if not errands.store.holds(digest):
            errands.fetch(version.pk)
            continue
        try:
            ports.target.ensure(deployments.describe(release.endpoint, version, digest, errands.store))
        except Refused as error:
            if version.pk == release.version_id:
                Release.objects.filter(pk=release.pk).update(refusal=str(error))
            logger.warning("release %s: %s is refused: %s", release.pk, name, error)
