"""What stands, or would stand, in an environment's cluster for its autoscaling and its protection: the very
manifests that the workers apply, and how two states of them differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from releases.domain.autoscaling import Autoscaling
from releases.domain.manifests.autoscaling import Scaled, autoscaler
from releases.domain.manifests.guard import UNKNOWN_LABELS, GuardPlace, guard_manifests
from releases.domain.manifests.writing import as_yaml
from releases.domain.network import Callers, NetworkRules
from releases.domain.release import DEPLOYED
from releases.models import Endpoint, Environment, KubernetesPlace, RegisteredModel, Release
from releases.services.deployments import deployment_ref
from releases.services.queries.traffic_routes import DiffLine
from releases.services.scaling import Scaling

Manifest = Mapping[str, Any]
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Running:
    """A version that scales in an environment; `is_example`: nothing does, so that one is made up. Without
    a model: one that has no policy of its own."""

    model: RegisteredModel | None
    scaled: Scaled
    is_example: bool = False


def running(place: KubernetesPlace, model: RegisteredModel | None = None) -> list[Running]:
    """The versions that serve in a place (of one model, if given), and those that are being released; an
    example where there are none."""
    environment = place.environment
    related = ("tenant", "environment", "model", "stable")
    endpoints = Endpoint.objects.filter(environment=environment).select_related(*related)
    releases = Release.objects.filter(
        endpoint__environment=environment, phase__in=[phase.value for phase in DEPLOYED]
    ).select_related("version")
    if model is not None:
        endpoints, releases = endpoints.filter(model=model), releases.filter(endpoint__model=model)
    candidates = {release.endpoint_id: release for release in releases}
    found = []
    for endpoint in endpoints.order_by("model__name"):
        release = candidates.get(endpoint.pk)
        pairs = [(endpoint.stable, endpoint.stable.digest)] if endpoint.stable else []
        pairs += [(release.version, release.digest)] if release else []
        for version, digest in pairs:
            ref = deployment_ref(endpoint, version, digest)
            scaled = _scaled(place, endpoint.model.name, str(version.version), ref)
            found.append(Running(endpoint.model, scaled))
    return found or [example(place, model)]


def example(place: KubernetesPlace, model: RegisteredModel | None = None) -> Running:
    """A version that nobody has released, to show what would be made of one: of this model, or of any that
    has no policy of its own."""
    of = model or RegisteredModel.objects.filter(tenant=place.tenant).order_by("name").first()
    name = of.name if of else "model"
    ref = f"{place.tenant.slug}-{place.environment.name}-{name}-v1-0-0-00000000"[:63]
    return Running(model, _scaled(place, name, "1.0.0", ref), is_example=True)


def _scaled(place: KubernetesPlace, model: str, version: str, ref: str) -> Scaled:
    return Scaled(place.tenant.slug, place.environment.name, model, version, ref, place.namespace)


def autoscalers(versions: Sequence[Running], environment: Environment, policies: Scaling) -> list[Manifest]:
    """Their autoscalers under these policies."""
    return [autoscaler(one.scaled, _policy(one, environment, policies)) for one in versions]


def _policy(one: Running, environment: Environment, policies: Scaling) -> Autoscaling:
    own = policies.policies.get((environment.pk, one.model.pk)) if one.model else None
    return own or policies.default(environment)


def protection_manifests(
    place: KubernetesPlace, network: NetworkRules | None, callers: Callers
) -> list[Manifest]:
    """The policies around the models; by what the gateway's pods are selected only the cluster knows."""
    where = GuardPlace(
        tenant=place.tenant.slug,
        environment=place.environment.name,
        namespace=place.namespace,
        host=place.connection.host,
        gateway_namespace=place.istio_gateway.partition("/")[0],
        gateway_labels=UNKNOWN_LABELS,
    )
    return list(guard_manifests(where, network, callers))


def manifest_diff(before: Sequence[Manifest], after: Sequence[Manifest]) -> list[DiffLine]:
    """What changes from one state to the other, object by object, with a few lines around."""
    was, will = {_key(one): one for one in before}, {_key(one): one for one in after}
    lines: list[DiffLine] = []
    for key in sorted(was.keys() | will.keys()):
        old, new = ([as_yaml([state[key]])] if key in state else [] for state in (was, will))
        if old != new:
            lines.append(DiffLine("at", key if old and new else f"{key}, {'goes' if old else 'new'}"))
            lines += _lines("".join(old).splitlines(), "".join(new).splitlines())
    return lines


def marked_yaml(before: Sequence[Manifest], after: Sequence[Manifest]) -> list[DiffLine]:
    """The whole text of a state, with what changes marked; object by object, because these are alike and a
    difference over all of them would pair lines of different objects."""
    was, will = {_key(one): one for one in before}, {_key(one): one for one in after}
    lines: list[DiffLine] = []
    for key in [*will, *(key for key in was if key not in will)]:
        old, new = (as_yaml([state[key]]).splitlines() if key in state else [] for state in (was, will))
        lines += [DiffLine("", "---")] if lines else []
        same = old == new
        lines += [DiffLine("", line) for line in new] if same else _lines(old, new, len(old) + len(new))
    return lines


def _key(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"{str(manifest['kind']).lower()}/{meta['name']} in {meta['namespace']}"


def _lines(before: list[str], after: list[str], context: int = CONTEXT) -> list[DiffLine]:
    kinds = {"+": "add", "-": "del", " ": ""}
    names_and_first_place = 3
    found = list(unified_diff(before, after, lineterm="", n=context))[names_and_first_place:]
    return [
        DiffLine("at", "…") if line.startswith("@@") else DiffLine(kinds[line[0]], line[1:]) for line in found
    ]
