"""The serving target on Kubernetes: Seldon Core v1 runs the versions, one predictor each.

Everything it knows is in the cluster; several processes may use it at once. Changes predictors and their
autoscalers, reads the rest, and touches nothing that is not the portal's. Knows nothing of releases.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from releases.adapters import seldon_objects as seldon
from releases.adapters.artifact_uri import artifact_place
from releases.adapters.kubernetes_api import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    NAMESPACE,
    POD,
    VIRTUAL_SERVICE,
    Conflict,
)
from releases.adapters.seldon_objects import Manifest
from releases.adapters.seldon_place import Plan, SeldonPlace, namespace_refusal
from releases.adapters.target.seldon_manifests import (
    autoscaler,
    owned_by,
    with_predictor,
    with_replicas,
    without_predictor,
)
from releases.adapters.target.seldon_status import Seen, by_ref, pods_by_ref, ready_endpoints, status
from releases.domain.manifests.autoscaling import autoscaling
from releases.domain.release import TargetState
from releases.ports import AdapterError, Deployment, Problem, Refused, TargetStatus, Unreachable

ATTEMPTS = 6


class SeldonTarget:
    """Port `ServingTarget`."""

    def __init__(self, place: SeldonPlace) -> None:
        self._place = place
        self._cluster = place.cluster
        self._ours = place.seldon_deployments

    def ensure(self, deployment: Deployment) -> None:
        """Absolute: goes on from whatever is there. Pods that serve are left alone even if the environment
        would make them otherwise today; of those that do not, new ones are made."""
        why = namespace_refusal(self._cluster.get(NAMESPACE, self._place.namespace), self._place)
        if why:
            raise Refused(why)
        serves = self._serves(deployment.ref)
        around = self._ours.rewrite(deployment.model, lambda present: self._with(present, deployment, serves))
        if around is not None:
            self._scale(deployment, around)

    def status(self, refs: Iterable[str]) -> dict[str, TargetStatus]:
        """One list of each kind of object in the namespace, however many refs."""
        wanted = list(refs)
        try:
            return self._status(wanted)
        except AdapterError as error:
            return {ref: TargetStatus(TargetState.UNKNOWN, str(error)) for ref in wanted}

    def remove(self, ref: str) -> None:
        """`Unreachable` while requests may still go there: ask again when the traffic has moved."""
        namespace = self._place.namespace
        for _ in range(ATTEMPTS):
            around = next((one for one in self._ours.all() if seldon.predictor(one, ref)), None)
            if around is None or self._take_out(around, ref):
                break
        else:
            raise Unreachable(f"{ref} cannot be removed yet: its SeldonDeployment is changed all the time")
        # The operator forgets a Deployment that never had a pod, and does not know our autoscaler.
        for kind in (AUTOSCALER, DEPLOYMENT):
            for left in self._cluster.list(kind, namespace, f"{seldon.REF}={ref}"):
                self._cluster.delete(kind, seldon.name(left), namespace)

    def list(self) -> set[str]:
        """Also those of which only a Deployment is left."""
        left = self._cluster.list(DEPLOYMENT, self._place.namespace, seldon.REF)
        found = {seldon.ref(one) for around in self._ours.all() for one in seldon.predictors(around)}
        return (found | set(by_ref(left))) - {""}

    def plan(self, deployment: Deployment) -> Plan:
        """What `ensure` would do, for the preflight; raises `Unreachable`."""
        try:
            found, scaler = self._ours.get(deployment.model), self._autoscaler(deployment)
        except Refused as error:
            return Plan((), refusal=Problem("metadata.name", str(error)))
        before = tuple(seldon.ours(one) for one in (found, scaler) if one)
        try:
            artifact_place(self._place.artifacts, deployment)
        except Refused as error:
            return Plan(before, refusal=Problem("spec.predictors[*].graph.modelUri", str(error)))
        present = seldon.ours(found) if found else None
        try:
            wanted = self._with(present, deployment, self._serves(deployment.ref))
        except Refused as error:
            return Plan(before, refusal=Problem("spec.predictors[*].name", str(error)))
        scaled = autoscaler(deployment, self._place)
        return Plan(before, (wanted, scaled) if scaled else (wanted,))

    def _with(self, present: Manifest | None, deployment: Deployment, serves: bool) -> Manifest:
        if serves and present and seldon.predictor(present, deployment.ref):
            return with_replicas(present, deployment)
        return with_predictor(present, deployment, self._place)

    def _scale(self, deployment: Deployment, around: Manifest) -> None:
        found, wanted = self._autoscaler(deployment), autoscaler(deployment, self._place)
        if wanted is not None:
            manifest = owned_by(wanted, around)
            if autoscaling(self._cluster.apply(manifest)) != deployment.autoscaling:
                self._cluster.settle(manifest)  # somebody has added to it, as that it never scales down
        elif found is not None:
            self._cluster.delete(AUTOSCALER, seldon.name(found), self._place.namespace)

    def _autoscaler(self, deployment: Deployment) -> Manifest | None:
        """`Refused` when somebody else's has its name."""
        place = self._place
        name = seldon.autoscaler_name(
            seldon.seldon_deployment_name(deployment.model), seldon.predictor_name(deployment.version)
        )
        found = self._cluster.get(AUTOSCALER, name, place.namespace)
        if found is not None and not seldon.is_of(found, place.tenant, place.environment):
            raise Refused(
                f"the HorizontalPodAutoscaler {name} in the namespace {place.namespace} is not the portal's: "
                "it is left alone; rename or delete it"
            )
        return found

    def _serves(self, ref: str) -> bool:
        return self._status([ref])[ref].state is TargetState.READY

    def _status(self, refs: Sequence[str]) -> dict[str, TargetStatus]:
        if not refs:
            return {}
        namespace, ask = self._place.namespace, self._cluster.list
        seen = Seen(
            namespace=namespace,
            seldon_deployments=self._ours.all(),
            deployments=by_ref(ask(DEPLOYMENT, namespace, seldon.REF)),
            autoscalers=by_ref(ask(AUTOSCALER, namespace, seldon.REF)),
            endpoints=ready_endpoints(ask(ENDPOINT_SLICE, namespace, seldon.SELDON_ID)),
        )
        found = {ref: status(ref, seen) for ref in refs}
        if all(one.state in (TargetState.READY, TargetState.ABSENT) for one in found.values()):
            return found
        seen = replace(seen, pods=pods_by_ref(ask(POD, namespace, seldon.REF)))
        return {ref: status(ref, seen) for ref in refs}

    def _take_out(self, around: Manifest, ref: str) -> bool:
        """False when the SeldonDeployment has changed meanwhile."""
        is_last = len(seldon.predictors(around)) == 1
        self._refuse_while_asked(around, ref, is_last)
        if is_last:
            return self._ours.delete(around)
        try:
            self._cluster.apply(seldon.on_condition(without_predictor(seldon.ours(around), ref), around))
        except Conflict:
            return False
        return True

    def _refuse_while_asked(self, around: Manifest, ref: str, is_last: bool) -> None:
        """Callers come through our own VirtualService: without one nobody is led anywhere. That of the
        operator is compared as well, but only while it can be right: the operator does not write it before
        all Deployments are ready, and a version that never gets ready has to go nevertheless."""
        namespace, model = self._place.namespace, seldon.name(around)
        routes = self._cluster.get(VIRTUAL_SERVICE, seldon.virtual_service_name(model), namespace)
        predictor = seldon.predictor(around, ref)
        if routes is None or predictor is None:
            return
        host = seldon.host(seldon.service_name(model, str(predictor["name"])), namespace)
        share = 0 if is_last else seldon.traffic(predictor)
        if share or host in seldon.mentions(routes):
            raise Unreachable(
                f"{ref} stays until requests no longer go there: it has {share} % of the traffic in the "
                f"SeldonDeployment {model}, and the VirtualService {seldon.name(routes)} "
                + ("leads to it" if host in seldon.mentions(routes) else "does not lead to it")
            )
        if is_last:
            return
        theirs = self._cluster.get(VIRTUAL_SERVICE, model, namespace)
        share = seldon.weights(theirs).get(host, 0) if theirs else 0
        if share and self._operator_writes(model):
            raise Unreachable(
                f"{ref} stays until requests no longer go there: the operator's VirtualService {model} still "
                f"gives it {share} %"
            )

    def _operator_writes(self, seldon_deployment: str) -> bool:
        """Whether all Deployments are ready, so that the operator keeps its VirtualService up to date."""
        labels = f"{seldon.SELDON_ID}={seldon_deployment}"
        found = self._cluster.list(DEPLOYMENT, self._place.namespace, labels)
        told = [one.get("status") or {} for one in found]
        return all(one.get("readyReplicas") and not one.get("unavailableReplicas") for one in told)
