"""Looks at the exact manifests of a version before anything is applied on Kubernetes.

Three looks: our own checks, what stands around (namespace, secret, image), and the API server's dry run,
which asks webhooks, quotas and schemas. Changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import (
    CONFIG_MAP,
    NAMESPACE,
    SECRET,
    VIRTUAL_SERVICE,
    Forbidden,
    Invalid,
)
from releases.adapters.preflight.manifest_checks import problems
from releases.adapters.preflight.model_images import default_image, misfit, mlflow_version
from releases.adapters.seldon_objects import Manifest
from releases.adapters.seldon_place import Plan, SeldonPlace, namespace_refusal
from releases.domain.manifests.writing import as_yaml
from releases.ports import Deployment, Preview, Problem, Refused

OPERATOR_SETTINGS = "seldon-config"
CONTAINER = f"spec.predictors[{{}}].componentSpecs[0].spec.containers[name={seldon.GRAPH_NODE}]"
IMAGE, ENVIRONMENT = f"{CONTAINER}.image", f"{CONTAINER}.envFrom"


class SeldonPreflight:
    """Port `Preflight`; `plan` is the target's own."""

    def __init__(self, place: SeldonPlace, plan: Callable[[Deployment], Plan]) -> None:
        self._place = place
        self._plan = plan

    def preview(self, deployment: Deployment) -> Preview:
        wrong = namespace_problems(self._place)
        if wrong:
            return Preview("", "", tuple(wrong))
        plan = self._plan(deployment)
        found = list(self._around(deployment, plan))
        after = list(plan.after)
        if plan.refusal is not None:
            found.append(plan.refusal)
        else:
            found += problems(plan.after)
            after, refused = self._dry_run(plan.after)
            found += refused
        return Preview(_text(plan.before), _text(after), tuple(dict.fromkeys(found)))

    def _around(self, deployment: Deployment, plan: Plan) -> Iterator[Problem]:
        """Our way in, the secrets, and the image."""
        yield from self._way_in(deployment.model)
        own = [
            (index, one)
            for manifest in plan.after
            if manifest["kind"] == "SeldonDeployment"
            for index, one in enumerate(seldon.predictors(manifest))
            if seldon.ref(one) == deployment.ref
        ]
        for index, predictor in own:
            yield from self._secrets(index, predictor)
            yield from self._image(index, predictor, deployment)

    def _way_in(self, model: str) -> Iterator[Problem]:
        """The router leaves a VirtualService of somebody else alone, and no caller would ever come in."""
        place, name = self._place, seldon.virtual_service_name(model)
        found = place.cluster.get(VIRTUAL_SERVICE, name, place.namespace)
        if found is not None and not seldon.is_of(found, place.tenant, place.environment):
            yield Problem(
                "metadata.name",
                f"the VirtualService {name} in the namespace {place.namespace} is not the portal's, and the "
                f"portal needs this name to lead callers to {model}: rename or delete it",
            )

    def _secrets(self, index: int, predictor: Manifest) -> Iterator[Problem]:
        name = str(predictor["graph"].get("envSecretRefName") or "")
        if self._lacks(name):
            yield Problem(
                f"spec.predictors[{index}].graph.envSecretRefName",
                f"the namespace {self._place.namespace} has no secret {name}: without it the pods cannot "
                "fetch the model. Make it, with the credentials of the artifact store",
            )
        if self._lacks(self._place.models_secret):
            yield Problem(
                ENVIRONMENT.format(index),
                f"the namespace {self._place.namespace} has no secret {self._place.models_secret}: without "
                "it no model server starts. Make it, with what models need of MODEL_CACHE_URL, "
                "MODEL_ENCRYPTION_KEY, FEATURE_STORE and FEATURE_ONLINE_URL",
            )

    def _lacks(self, secret: str) -> bool:
        try:
            return bool(secret) and not self._place.cluster.exists(SECRET, secret, self._place.namespace)
        except Forbidden:  # whether it is there is not for the portal to know: the pods will tell
            return False

    def _image(self, index: int, predictor: Manifest, deployment: Deployment) -> Iterator[Problem]:
        container = predictor["componentSpecs"][0]["spec"]["containers"][0]
        given = str(container.get("image") or "")
        wrong = misfit(
            given or self._default_image(), mlflow_version(deployment.artifact), is_default=not given
        )
        if wrong:
            yield Problem(IMAGE.format(index), wrong)

    def _default_image(self) -> str:
        """Empty when the operator's settings cannot be read: no reason to refuse anything."""
        try:
            settings = self._place.cluster.get(CONFIG_MAP, OPERATOR_SETTINGS, self._place.operator_namespace)
        except Refused:
            return ""
        return default_image(settings or {})

    def _dry_run(self, manifests: Sequence[Manifest]) -> tuple[list[Manifest], list[Problem]]:
        """The manifests as the API server would have them, and what it says against them. On no condition: as
        nothing is written, it does not matter who writes meanwhile, and the operator often does."""
        taken, refused = [], []
        for manifest in manifests:
            try:
                taken.append(seldon.ours(self._place.cluster.apply(manifest, dry_run=True)))
            except Refused as error:
                taken.append(manifest)
                refused += _told(manifest, error)
        return taken, refused


def namespace_problems(place: SeldonPlace) -> list[Problem]:
    """Why nothing can be done in the namespace at all."""
    try:
        why = namespace_refusal(place.cluster.get(NAMESPACE, place.namespace), place)
    except Refused as error:
        why = (
            f"the namespace {place.namespace} is not open to the portal: {error}. Perhaps it does not exist: "
            f"whoever rules the cluster creates it with the label {seldon.TENANT}={place.tenant} and grants "
            "the rights of deploy/rbac.yaml in it"
        )
    return [Problem("metadata.namespace", why)] if why else []


def _told(manifest: Manifest, error: Refused) -> list[Problem]:
    what = f"{manifest['kind']} {seldon.name(manifest)}"
    causes = error.causes if isinstance(error, Invalid) else ()
    if causes:
        return [Problem(field or "metadata.name", f"{what}: {message}") for field, message in causes]
    return [Problem("metadata.name", f"the cluster does not take the {what}: {error}")]


def _text(manifests: Sequence[Manifest]) -> str:
    return as_yaml([_sorted(manifest) for manifest in manifests])


def _sorted(part: Any) -> Any:
    """Keys in one order, so that a diff shows what differs and nothing else."""
    if isinstance(part, dict):
        return {key: _sorted(part[key]) for key in sorted(part)}
    return [_sorted(one) for one in part] if isinstance(part, list) else part
