"""What is wrong with the manifests of a version, as far as one can see without a cluster. Pure.

What the API server refuses is for its dry run to say; here is what it would take and would then not work.
"""

from collections.abc import Iterator, Sequence

from releases.adapters import seldon_objects as seldon
from releases.adapters.seldon_objects import Manifest, Read
from releases.ports import Problem

FETCHED = ("s3", "gs", "http", "https", "azureblob", "pvc")
ONLY_MLFLOW = ("mlflow-artifacts", "models", "runs")


def problems(manifests: Sequence[Manifest]) -> list[Problem]:
    """Each with the path of its field."""
    return [problem for manifest in manifests for problem in _of(manifest, manifests)]


def _of(manifest: Manifest, all_of_them: Sequence[Manifest]) -> Iterator[Problem]:
    if manifest["kind"] == "SeldonDeployment":
        yield from _own_prefix(seldon.name(manifest))
        yield from _traffic(manifest)
        for index, predictor in enumerate(seldon.predictors(manifest)):
            if seldon.ref(predictor):
                path = f"spec.predictors[{index}]"
                yield from _names(path, seldon.name(manifest), str(predictor["name"]))
                yield from _uri(path, predictor)
                yield from _requests(path, predictor, _scaled_by_cpu(manifest, predictor, all_of_them))
    elif len(seldon.name(manifest)) > seldon.LONGEST_NAME:
        yield _too_long("metadata.name", seldon.name(manifest))


def _own_prefix(name: str) -> Iterator[Problem]:
    """The operator calls its VirtualService like the SeldonDeployment, and would write over the one of ours
    that has this name."""
    prefix = seldon.virtual_service_name("")
    if name.startswith(prefix):
        yield Problem(
            "metadata.name",
            f"the model {name} cannot be released to Kubernetes: {name} is what the portal calls its own "
            f"VirtualService of a model {name.removeprefix(prefix)}. Register it under a name that does not "
            f"begin with {prefix}",
        )


def _traffic(manifest: Manifest) -> Iterator[Problem]:
    shares = [seldon.traffic(one) for one in seldon.predictors(manifest) if not one.get("shadow")]
    if len(shares) > 1 and sum(shares) != 100:
        said = " + ".join(str(share) for share in shares)
        yield Problem(
            "spec.predictors[*].traffic",
            f"the shares of the traffic are {said}, which is not 100: somebody has changed them. The next "
            "change of the split sets them right",
        )


def _names(path: str, seldon_deployment: str, predictor: str) -> Iterator[Problem]:
    """The longest name that the operator makes decides: it replaces longer ones by a hash, which nobody finds
    again."""
    service = seldon.service_name(seldon_deployment, predictor)
    workload = seldon.workload_name(seldon_deployment, predictor)
    if len(workload) > seldon.LONGEST_NAME:
        yield _too_long(f"{path}.name", workload)
    if not service[:1].isalpha():
        yield Problem(
            "metadata.name",
            f"the Service {service} would begin with {service[0]!r}, and a Service's name begins with a "
            "letter: the model needs another name",
        )


def _too_long(field: str, name: str) -> Problem:
    return Problem(
        field,
        f"{name} has {len(name)} characters, and a name has at most {seldon.LONGEST_NAME}: use a shorter "
        "name for the model, or a shorter pre-release part of the version",
    )


def _uri(path: str, predictor: Read) -> Iterator[Problem]:
    uri = str(predictor["graph"].get("modelUri") or "")
    scheme = uri.partition(":")[0]
    if scheme in FETCHED:
        return
    why = "only MLflow itself can resolve it" if scheme in ONLY_MLFLOW else "it knows no such scheme"
    yield Problem(
        f"{path}.graph.modelUri",
        f"the pods cannot fetch {uri or 'an empty URI'}: {why}. Set the environment's artifacts to a place "
        "such as s3://models/production",
    )


def _requests(path: str, predictor: Read, is_scaled_by_cpu: bool) -> Iterator[Problem]:
    """Utilisation is a share of what is requested, over all containers: with one that requests nothing there
    is no such share, and the autoscaler does not scale at all."""
    if not is_scaled_by_cpu:
        return
    for index, part in enumerate(predictor.get("componentSpecs") or []):
        for number, container in enumerate((part.get("spec") or {}).get("containers") or []):
            if not _requests_cpu(container):
                field = f"{path}.componentSpecs[{index}].spec.containers[{number}].resources.requests.cpu"
                yield Problem(field, _no_request(str(container["name"])))
    if not _requests_cpu(predictor.get("svcOrchSpec") or {}):
        yield Problem(f"{path}.svcOrchSpec.resources.requests.cpu", _no_request(seldon.EXECUTOR))


def _requests_cpu(container: Read) -> bool:
    """A limit is a request, too, where there is no other."""
    given = container.get("resources") or {}
    return any((given.get(part) or {}).get("cpu") for part in ("requests", "limits"))


def _no_request(container: str) -> str:
    return (
        f"the container {container} requests no CPU, and the autoscaler goes by the share of what is "
        "requested: set the environment's CPU request, or leave CPU out of the autoscaling"
    )


def _scaled_by_cpu(manifest: Manifest, predictor: Read, all_of_them: Sequence[Manifest]) -> bool:
    workload = seldon.workload_name(seldon.name(manifest), str(predictor["name"]))
    for other in all_of_them:
        if other["kind"] == "HorizontalPodAutoscaler" and other["spec"]["scaleTargetRef"]["name"] == workload:
            kinds = [
                (one.get("resource") or {}).get("target", {}) for one in other["spec"].get("metrics", [])
            ]
            return any(target.get("type") == "Utilization" for target in kinds)
    return False
