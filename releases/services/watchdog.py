"""Between releases: every endpoint serves what was released, and nothing else keeps running.

Level-triggered like the reconciler, and deaf to endpoints whose route belongs to a running release.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from releases.domain.plan import TrafficSplit
from releases.domain.release import DEPLOYED, Phase, TargetState
from releases.domain.routing import Arm, Route, RouteSetting
from releases.models import Deployment, Endpoint, Environment, Release
from releases.ports import AdapterError, Ports, Refused, TargetStatus
from releases.services import deployments, history, manifests, places, rescaling
from releases.services.converge import Errands, send_for
from releases.services.scaling import difference, scaling
from releases.services.supplies import look_for
from releases.services.traffic import Doors, doors
from releases.services.world import ROUTED
from tenants import audit
from tenants.models import AuditEvent

logger = logging.getLogger(__name__)

REPAIRED = "endpoint.repaired"
SAME_NEWS = timedelta(hours=1)
OWNED = sorted(DEPLOYED | ROUTED)
WITHOUT_ROUTE = sorted(DEPLOYED - ROUTED)  # their releases leave the route as it was before them


def sweep(environments: Sequence[Environment], ports: Ports, errands: Errands, at: datetime) -> None:
    """One look at all endpoints of one place and at what stands around them; raises `Unreachable` when it
    cannot look."""
    manifests.record_ends(environments, ports.preflight, errands.store, at)
    places.protect(environments, ports.guard, at)
    endpoints = list(
        Endpoint.objects.select_related("tenant", "environment", "model", "stable__model")
        .filter(environment__in=environments)
        .exclude(releases__phase__in=OWNED)
    )
    _remove_expired(environments, ports, at)
    refs = {e.pk: _ref(e) for e in endpoints if e.stable is not None}
    status = ports.target.status(refs.values())
    _serve(endpoints, refs, status, ports, errands, at)
    _route(endpoints, refs, status, ports, at)
    _renew_doors(environments, ports)
    rescaling.rescale_releases(environments, ports.target, errands.store, at)
    for release_id in Release.objects.filter(
        phase=Phase.SUCCEEDED, announced_at__isnull=True, endpoint__environment__in=environments
    ).values_list("pk", flat=True):
        errands.announce(release_id)


def _ref(endpoint: Endpoint) -> str:
    assert endpoint.stable is not None  # noqa: S101 - callers ask for endpoints that serve
    return deployments.deployment_ref(endpoint, endpoint.stable, endpoint.stable.digest)


def _serve(
    endpoints: Sequence[Endpoint],
    refs: Mapping[int, str],
    status: Mapping[str, TargetStatus],
    ports: Ports,
    errands: Errands,
    at: datetime,
) -> None:
    """Stable versions run and scale as wanted; one that was taken away is brought back, and a foreign one is
    told."""
    wanted = scaling({endpoint.environment for endpoint in endpoints})
    for endpoint in endpoints:
        version = endpoint.stable
        if version is None:
            continue
        found = status[refs[endpoint.pk]]
        drift = ""
        if found.state is TargetState.ABSENT:
            drift = f"{version.version} was not running; it is being started again"
            waits = _ensure(endpoint, ports, errands)
            drift = f"{drift}: {waits}" if waits else drift
        elif found.digest is not None and found.digest != version.digest:
            drift = f"serves {found.digest[:19]}, released was {version.digest[:19]}"
        elif found.state is TargetState.FAILED:
            drift = f"{version.version} does not run: {found.detail}"
            _ensure(endpoint, ports, errands)  # a supervisor that gave up is asked to try again
        elif drift := difference(found, wanted.of(endpoint)):
            drift = _rescale(endpoint, ports, errands) or drift
            rescaling.record(endpoint, drift[:300], at)
        if drift != endpoint.drift:
            endpoint.drift = drift[:300]
            endpoint.save(update_fields=["drift"])


def _ensure(endpoint: Endpoint, ports: Ports, errands: Errands) -> str:
    """Ask the target for stable; a sentence when it cannot be asked yet, or refuses."""
    version = endpoint.stable
    assert version is not None  # noqa: S101 - see the caller
    supply = look_for(endpoint, version, version.digest, errands.store, ports.mirror)
    try:
        if send_for(supply, version, errands):
            return supply.said
        ports.target.ensure(supply.deployment)
    except Refused as error:
        return str(error)
    return ""


def _rescale(endpoint: Endpoint, ports: Ports, errands: Errands) -> str:
    """It runs, so it lacks nothing; a sentence when the target refuses."""
    version = endpoint.stable
    assert version is not None  # noqa: S101 - see the caller
    try:
        ports.target.ensure(deployments.describe(endpoint, version, version.digest, errands.store))
    except Refused as error:
        return str(error)
    return ""


def _route(
    endpoints: Sequence[Endpoint],
    refs: Mapping[int, str],
    status: Mapping[str, TargetStatus],
    ports: Ports,
    at: datetime,
) -> None:
    """Routes point at stable alone; what somebody else changed is repaired, and that is audited."""
    found = ports.router.read([endpoint.route for endpoint in endpoints])
    wanted: dict[Route, RouteSetting] = {}
    gone: list[Route] = []
    repaired: list[tuple[Endpoint, str]] = []
    led = doors(endpoints)
    for endpoint in endpoints:
        setting = found.get(endpoint.route)
        if endpoint.stable is None:
            if setting is not None:
                gone.append(endpoint.route)
            continue
        address = status[refs[endpoint.pk]].address
        if address is not None:
            right = led.of(endpoint, RouteSetting(TrafficSplit(0), Arm(refs[endpoint.pk], address), None))
        elif setting is not None and _is_whole(
            setting
        ):  # where stable answers is not known just now; who may ask is
            right = _renewed(endpoint, setting, led)
        else:
            continue
        if setting == right:
            continue
        wanted[endpoint.route] = right
        if not _is_left_by_promotion(setting, right) and not (setting and setting.splits_like(right)):
            said = "there was no route" if setting is None else f"the gateway split {setting.split}"
            said = setting.doubt if setting and setting.doubt else said
            repaired.append((endpoint, said))
    still_free = _without_owners(endpoints)
    wanted = {route: setting for route, setting in wanted.items() if route in still_free}
    if wanted:
        try:
            ports.router.apply(wanted)
        except Refused as error:  # of one of them; the next sweep sees which are right by then
            logger.warning("the gateway refuses routes: %s", error)
            repaired = []
    if any(route in still_free for route in gone):
        ports.router.remove([route for route in gone if route in still_free])
    for endpoint, said in repaired:
        if endpoint.route in still_free and not _is_told(endpoint, said, at):
            audit.record(
                endpoint.tenant,
                at=at,
                actor=history.PORTAL,
                action=REPAIRED,
                subject=endpoint.route.name,
                detail={"found": said},
            )


def _renew_doors(environments: Sequence[Environment], ports: Ports) -> None:
    """What leads to an endpoint may change while a version is being deployed there, which can take long: a
    key that was retired must not open it until then. The traffic stays as it is."""
    waiting = Release.objects.filter(phase__in=WITHOUT_ROUTE, endpoint__environment__in=environments)
    related = ("endpoint__tenant", "endpoint__environment", "endpoint__model")
    endpoints = [release.endpoint for release in waiting.select_related(*related)]
    if not endpoints:
        return
    found, led = ports.router.read([endpoint.route for endpoint in endpoints]), doors(endpoints)
    wanted: dict[Route, RouteSetting] = {}
    for endpoint in endpoints:
        setting = found[endpoint.route]
        if setting is None or not _is_whole(setting):
            continue
        right = _renewed(endpoint, setting, led)
        if right != setting:
            wanted[endpoint.route] = right
    still = set(waiting.values_list("endpoint_id", flat=True))
    wanted = {e.route: wanted[e.route] for e in endpoints if e.pk in still and e.route in wanted}
    if wanted:
        try:
            ports.router.apply(wanted)
        except Refused as error:
            logger.warning("the gateway refuses routes: %s", error)


def _renewed(endpoint: Endpoint, setting: RouteSetting, led: Doors) -> RouteSetting:
    """The traffic that was found, and what leads to it as it should be."""
    return led.of(endpoint, replace(setting, doubt=""))


def _is_whole(setting: RouteSetting) -> bool:
    """Whether the router could bring it about again: it knows where everybody answers."""
    return all(arm is None or arm.address for arm in (setting.stable, setting.candidate))


def _is_told(endpoint: Endpoint, said: str, at: datetime) -> bool:
    """An engine that does not take up what it is told is the same news at every sweep."""
    told = AuditEvent.objects.filter(
        tenant=endpoint.tenant, action=REPAIRED, subject=endpoint.route.name, at__gt=at - SAME_NEWS
    ).first()
    return told is not None and told.detail.get("found") == said


def _is_left_by_promotion(setting: RouteSetting | None, right: RouteSetting) -> bool:
    """A promotion leaves its candidate at 100 %, a rollback its stable: the same, said otherwise."""
    if setting is None or setting.doubt or right.stable is None:
        return False
    arms = {100: setting.candidate, 0: setting.stable}
    arm = arms.get(setting.split.candidate)
    return arm is not None and arm.ref == right.stable.ref


def _without_owners(endpoints: Sequence[Endpoint]) -> set[Route]:
    """Routes that no release has taken over since the sweep began."""
    taken = set(
        Release.objects.filter(endpoint__in=endpoints, phase__in=OWNED).values_list("endpoint_id", flat=True)
    )
    return {endpoint.route for endpoint in endpoints if endpoint.pk not in taken}


def _remove_expired(environments: Sequence[Environment], ports: Ports, at: datetime) -> None:
    """Deployments whose grace time is over, once the gateway in effect no longer names them."""
    running = ports.target.list()
    expired = list(
        Deployment.objects.select_related(
            "endpoint__tenant", "endpoint__environment", "endpoint__model"
        ).filter(ref__in=running, keep_until__lt=at, endpoint__environment__in=environments)
    )
    if not expired:
        return
    settings = ports.router.read([row.endpoint.route for row in expired])
    for row in expired:
        setting = settings.get(row.endpoint.route)
        arms = (setting.stable, setting.candidate) if setting else ()
        if any(arm is not None and arm.ref == row.ref for arm in arms):
            continue
        try:
            ports.target.remove(row.ref)
        except AdapterError as error:
            logger.warning("%s cannot be removed yet: %s", row.ref, error)
