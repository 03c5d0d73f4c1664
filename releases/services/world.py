"""One look at the world for many releases: deployments, routes, counters; each port asked once.

What cannot be reached is `None` or UNKNOWN, never a guess. Changes nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from releases.domain.plan import TrafficSplit
from releases.domain.release import DEPLOYED, JUDGED, Effect, Phase, Seen, TargetState
from releases.domain.routing import Arm, Route, RouteSetting
from releases.models import ModelVersion, Release
from releases.ports import AdapterError, Counters, Missing, Ports, TargetStatus
from releases.services.artifacts import ArtifactStore
from releases.services.deployments import deployment_ref
from releases.services.supplies import Lack, Supply, look_for
from releases.services.traffic import Doors, doors

logger = logging.getLogger(__name__)
T = TypeVar("T")

ROUTED = JUDGED | {Phase.SMOKE_TESTING, Phase.ROLLING_BACK}


@dataclass(frozen=True, slots=True)
class World:
    """What was seen. `routes` is None when the gateway does not answer, `why_no_routes` says why.
    `supplies`: of the deployments that are not there, how far their artifacts are."""

    status: Mapping[str, TargetStatus] = field(default_factory=dict)
    routes: Mapping[Route, RouteSetting | None] | None = None
    why_no_routes: str = ""
    counters: Mapping[str, Counters | Missing] = field(default_factory=dict)
    doors: Doors = field(default_factory=Doors)
    supplies: Mapping[str, Supply] = field(default_factory=dict)

    def seen(self, ref: str | None) -> Seen:
        """A deployment's health for the state machine."""
        status = self.status.get(ref) if ref else None
        if ref is None or status is None:
            return Seen()
        supply = self.supplies.get(ref)
        return Seen(status.state, supply.said if supply and supply.said else status.detail)

    def address(self, ref: str, route: Route) -> str | None:
        """Where a deployment answers: from its target, or else from the route that names it."""
        status = self.status.get(ref)
        if status is not None and status.address is not None:
            return status.address
        setting = (self.routes or {}).get(route)
        arms = (setting.stable, setting.candidate) if setting else ()
        return next((arm.address for arm in arms if arm and arm.ref == ref), None)


def look(releases: Sequence[Release], ports: Ports, store: ArtifactStore) -> World:
    """Look at everything these releases depend on."""
    refs: set[str] = set()
    routes: set[Route] = set()
    measured: set[str] = set()
    for release in releases:
        phase = Phase(release.phase)
        own = [ref for ref in (candidate_ref(release), stable_ref(release)) if ref]
        if phase in DEPLOYED or phase is Phase.ROLLING_BACK:
            refs.update(own)
        if phase in ROUTED:
            routes.add(release.endpoint.route)
        if phase in JUDGED:
            measured.update(own)
    status = dict(ports.target.status(refs)) if refs else {}
    seen, why = _ask("gateway", lambda: ports.router.read(routes)) if routes else ({}, "")
    counters = dict(ports.metrics.read(measured)) if measured else {}
    led = doors(r.endpoint for r in releases if Phase(r.phase) in ROUTED) if routes else Doors()
    supplies = _supplies(releases, status, ports, store)
    return World(
        status=status, routes=seen, why_no_routes=why, counters=counters, doors=led, supplies=supplies
    )


def _supplies(
    releases: Sequence[Release], status: Mapping[str, TargetStatus], ports: Ports, store: ArtifactStore
) -> dict[str, Supply]:
    """Of what is to be deployed and is not there. A mirror that is away is asked once, not once a release."""
    found: dict[str, Supply] = {}
    for release in releases:
        for ref, version, digest in deployments_of(release):
            known = status.get(ref)
            if known is None or known.state is not TargetState.ABSENT:
                continue
            found[ref] = look_for(release.endpoint, version, digest, store, ports.mirror)
            if found[ref].lack is Lack.UNKNOWN:
                return found
    return found


def deployments_of(release: Release) -> list[tuple[str, ModelVersion, str]]:
    """What a release needs to run: ref, version and digest of the candidate, then of stable. On its way back
    it needs stable alone: there are gateways that lead nobody to where nothing is."""
    phase = Phase(release.phase)
    needed = [(candidate_ref(release), release.version, release.digest)] if phase in DEPLOYED else []
    ref = stable_ref(release) if phase in DEPLOYED or phase is Phase.ROLLING_BACK else None
    if ref is not None and release.stable is not None:
        needed.append((ref, release.stable, release.stable.digest))
    return needed


def candidate_ref(release: Release) -> str:
    """The deployment of the version that is being released; known once its digest is."""
    return deployment_ref(release.endpoint, release.version, release.digest)


def stable_ref(release: Release) -> str | None:
    """The deployment of the stable version, if there is one."""
    if release.stable is None:
        return None
    return deployment_ref(release.endpoint, release.stable, release.stable.digest)


def wanted_setting(release: Release, world: World) -> RouteSetting | None:
    """What the release's state wants of its route; None: no route at all (nothing is stable).

    Raises `LookupError` with a sentence when the address of an arm is not known yet.
    """
    phase = Phase(release.phase)
    route = release.endpoint.route
    stable = _arm(stable_ref(release), route, world)
    if phase is Phase.ROLLING_BACK:
        setting = None if stable is None else RouteSetting(TrafficSplit(0), stable, None)
    else:
        candidate = _arm(candidate_ref(release), route, world)
        split = TrafficSplit(release.split_candidate, release.split_shadow)
        setting = RouteSetting(split, stable, candidate)
    return None if setting is None else world.doors.of(release.endpoint, setting)


def effect(release: Release, world: World) -> tuple[Effect, str]:
    """How the traffic in effect compares with what the release's state wants.

    What leads to the route may change in the middle of a release; that moves no traffic between the arms."""
    if Phase(release.phase) not in ROUTED:
        return Effect.UNKNOWN, ""
    if world.routes is None:
        return Effect.UNKNOWN, world.why_no_routes
    found = world.routes.get(release.endpoint.route)
    try:
        wanted = wanted_setting(release, world)
    except LookupError as error:
        return Effect.UNKNOWN, str(error)
    if found == wanted or (found is not None and wanted is not None and found.splits_like(wanted)):
        return Effect.IN_EFFECT, ""
    if found is None:
        return Effect.DIFFERENT, "the gateway has no such route"
    if found.doubt:
        return Effect.DIFFERENT, found.doubt
    if wanted is not None and found.split == wanted.split:
        return Effect.DIFFERENT, "the gateway sends traffic to other deployments"
    return Effect.DIFFERENT, f"the gateway splits {found.split}"


def _arm(ref: str | None, route: Route, world: World) -> Arm | None:
    if ref is None:
        return None
    address = world.address(ref, route)
    if address is None:
        raise LookupError(f"the address of {ref} is not known")
    return Arm(ref, address)


def _ask(name: str, call: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return call(), ""
    except AdapterError as error:
        logger.warning("%s cannot be asked: %s", name, error)
        return None, str(error)
