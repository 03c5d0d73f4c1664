"""Whether the members of a composed model can stand for each other: inputs, outputs, classes, parameters.

Finds the signature of the core in those of its members. Every disagreement is a `Problem` that names the
member and what it has in place of what the first one has. Knows signatures and answers, no registry.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ParamSchema, ParamSpec, Schema

from serving import combining
from serving.composition import Shape
from serving.cores import TIER, LoadedMember
from serving.errors import Place, Problem

EXAMPLE_ROWS = 16
MEMBERS: Place = ("core", "members")
HINTS = {"mean_of_probabilities": ': log a classifier with pyfunc_predict_fn="predict_proba"'}


def agreed_inputs(models: Mapping[str, PyFuncModel]) -> Schema:
    """The inputs of the first member; all have to name the same columns with the same types."""
    first, *others = models
    wanted = _columns(first, models[first])
    for name in others:
        found = _columns(name, models[name])
        differences = [
            f"{column} is {found.get(column, 'not there')} instead of {wanted.get(column, 'not there')}"
            for column in [*wanted, *(column for column in found if column not in wanted)]
            if found.get(column) != wanted.get(column)
        ]
        if differences:
            words = f"its inputs differ from those of {first}: {'; '.join(differences[:5])}"
            raise Problem((*MEMBERS, name), words)
    inputs: Schema = models[first].metadata.signature.inputs
    return inputs


def agreed_parameters(models: Mapping[str, PyFuncModel], routed: bool) -> ParamSchema | None:
    """The parameters of all members together, and the tier of the caller where it matters."""
    found: dict[str, tuple[str, ParamSpec]] = {}
    for name, model in models.items():
        schema = model.metadata.signature.params
        for parameter in schema.params if schema else []:
            owner, known = found.setdefault(parameter.name, (name, parameter))
            if known != parameter:
                words = f"its parameter {parameter!r} differs from that of {owner}: {known!r}"
                raise Problem((*MEMBERS, name), words)
    if routed:
        if TIER in found:
            words = f"it has a parameter {TIER} of its own, which is the router's"
            raise Problem((*MEMBERS, found[TIER][0]), words)
        found[TIER] = ("", ParamSpec(TIER, "string", None))
    return ParamSchema([parameter for _, parameter in found.values()]) if found else None


def example_of(models: Mapping[str, PyFuncModel], folders: Mapping[str, str]) -> pd.DataFrame:
    """The first rows of the input example of the first member that has one."""
    for name, model in models.items():
        if not model.metadata.saved_input_example_info:
            continue
        example = model.metadata.load_input_example(folders[name])
        if isinstance(example, pd.DataFrame) and len(example):
            return example.head(EXAMPLE_ROWS)
    raise Problem(MEMBERS, "no member has an input example that is a table: log one with input_example=…")


def agreed_answer(
    models: Mapping[str, PyFuncModel], example: pd.DataFrame, combine: str | None
) -> tuple[Shape, Any]:
    """The shape in which all members answer, and the first one's answer to the example.

    `combine` is None when nothing is combined: then the types have to agree too, since any of them may
    be the one that answers."""
    found: dict[str, Any] = {}
    for name, model in models.items():
        try:
            found[name] = combining.widened(LoadedMember(name, model).predict(example, {}))
        except Exception as error:
            words = f"it does not predict the input example: {type(error).__name__}: {error}"
            raise Problem((*MEMBERS, name), " ".join(words.split())[:500]) from error
    first = next(iter(found))
    shape = _checked(first, first, lambda: combining.shape_of(found[first]))
    for name, answer in found.items():
        array = _checked(name, first, lambda answer=answer: combining.values(answer, shape, len(example)))
        if combine is not None:
            _checked(
                name, first, lambda array=array: combining.CHECKS[combine](array), HINTS.get(combine, "")
            )
        same_kind = _kind(array) == _kind(np.asarray(found[first]))
        if not same_kind and combine in (None, "vote"):
            words = f"it answers {array.dtype}, and {first} answers {np.asarray(found[first]).dtype}"
            raise Problem((*MEMBERS, name), words)
    _check_classes(models)
    return shape, found[first]


def signature_of(inputs: Schema, answer: Any, params: ParamSchema | None) -> ModelSignature:
    """The core's signature: agreed inputs and parameters, outputs as in an answer of it."""
    outputs = infer_signature(None, answer).outputs
    return ModelSignature(inputs, outputs, params)  # type: ignore[arg-type]  # None is a set of none


def _columns(name: str, model: PyFuncModel) -> dict[str, str]:
    """Each input column with its type, in words."""
    signature = model.metadata.signature
    if signature is None or signature.inputs is None or signature.inputs.is_tensor_spec():
        raise Problem((*MEMBERS, name), "it has no signature with named columns: log it with a table")
    if not all(column.name for column in signature.inputs):
        raise Problem((*MEMBERS, name), "the columns of its signature have no names")
    return {
        column.name: f"{'' if column.required else 'optional '}{column.type!s}".removeprefix("DataType.")
        for column in signature.inputs
    }


def _checked(name: str, first: str, check: Any, hint: str = "") -> Any:
    try:
        return check()
    except combining.Unusable as error:
        beside = "" if name == first else f" ({first} does)"
        raise Problem(
            (*MEMBERS, name), f"it {error}{beside if 'instead' in str(error) else ''}{hint}"
        ) from error


def _kind(array: np.ndarray) -> str:
    """Number or text: labels 1 and "1" never agree, whatever their widths."""
    return "number" if array.dtype.kind in "fiub" else "text"


def _check_classes(models: Mapping[str, PyFuncModel]) -> None:
    """Members that say which classes they know have to know the same, in the same order."""
    known = {name: classes for name, model in models.items() if (classes := _classes(model)) is not None}
    for name, classes in known.items():
        first = next(iter(known))
        if classes != known[first]:
            words = f"its classes are {_listed(classes)}, and those of {first} are {_listed(known[first])}"
            raise Problem((*MEMBERS, name), words)


def _classes(model: PyFuncModel) -> list[Any] | None:
    """The classes that a scikit-learn model knows; None for others."""
    try:
        found = getattr(model.get_raw_model(), "classes_", None)  # type: ignore[no-untyped-call]
    except Exception:  # flavours without a native model raise what they like
        return None
    return None if found is None or np.ndim(found) != 1 else np.asarray(found).tolist()


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:20]))
