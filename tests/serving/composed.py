"""Composed models on disk without a registry: members that are trained in milliseconds, or misbehave."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import pandas as pd
import yaml
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc import PyFuncModel
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression

from serving import compose, spec
from serving.composition import MEMBERS_FOLDER, Member, normalised
from serving.digests import digest

ROWS = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "b": [5.0, 3.0, 4.0, 1.0, 2.0, 0.0]})
LABELS = [0, 0, 0, 1, 1, 2]
FAST = ["scikit-learn"]  # said, so that MLflow does not look for them in a process of its own


def save_classifier(
    folder: Path, answers: str = "predict_proba", labels: Any = LABELS, **kwargs: Any
) -> Path:
    """A logistic regression on two columns; `answers` names the method that the model answers with."""
    model = LogisticRegression(**kwargs).fit(ROWS, labels)
    return _save(folder, model, answers)


def save_constant(folder: Path, value: Any) -> Path:
    """A model that always answers the same: a label when it is a text, else a number."""
    kind = DummyClassifier if isinstance(value, str) else DummyRegressor
    model = kind(strategy="constant", constant=value).fit(ROWS, [value] * len(ROWS))
    return _save(folder, model, "predict")


def save_coded(
    folder: Path, body: str, signature: ModelSignature | None = None, example: pd.DataFrame = ROWS
) -> Path:
    """A model whose `predict(self, frame, params)` has this body."""
    code = folder.parent / f"{folder.name}.py"
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    code.write_text(
        "import numpy as np, pandas as pd\nfrom mlflow.models import set_model\n"
        "from mlflow.pyfunc import PythonModel\n"
        f"class Coded(PythonModel):\n    def predict(self, context, model_input, params=None):\n{lines}\n"
        "set_model(Coded())\n"
    )
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(code),
        signature=signature or infer_signature(ROWS, [0.5]),
        input_example=example.head(3),
        pip_requirements=FAST,
    )
    return folder


def write_spec(file: Path, core: Mapping[str, Any], **others: Any) -> spec.Spec:
    """A spec, read back from its file."""
    file.write_text(
        yaml.safe_dump({"model": "both", "change": "minor", "core": core} | others, sort_keys=False)
    )
    return spec.load(file)


def core(kind: str, members: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """The core of a spec; `members` are names, or names with weights."""
    entries = {
        name: {"model": f"m-{name}", "version": "1.0.0"} | ({} if weight is None else {"weight": weight})
        for name, weight in members.items()
    }
    return {"kind": kind, "members": entries} | others


def assembled(folder: Path, asked: spec.Spec) -> compose.Prepared:
    """What composing makes of members that were saved to `folder / "members" / name`."""
    weights = {name: each["weight"] for name, each in asked.core["members"].items() if "weight" in each}
    weights = normalised(weights) if weights else {}
    members = [
        Member(
            name=name,
            model=each["model"],
            version=each["version"],
            registry_version=1,
            digest=digest(folder / MEMBERS_FOLDER / name),
            weight=weights.get(
                name, 1 / len(asked.core["members"]) if asked.core["kind"] == "ensemble" else None
            ),
        )
        for name, each in asked.core["members"].items()
    ]
    return compose.assemble(asked, members, folder)


def saved(prepared: compose.Prepared, folder: Path) -> Path:
    """The composed model as MLflow writes it."""
    mlflow.pyfunc.save_model(folder / "model", **compose.model_arguments(prepared, folder / "code"))
    return folder / "model"


def loaded(folder: Path, asked: spec.Spec) -> PyFuncModel:
    """Compose the members below `folder`, save that and load it as anybody would."""
    place = folder.parent / f"{folder.name}-saved"
    place.mkdir()
    return mlflow.pyfunc.load_model(str(saved(assembled(folder, asked), place)))


def document_of(model: Path) -> Any:
    """The composition that is logged beside the members."""
    return json.loads((model / "artifacts" / "composition.json").read_text())


def _save(folder: Path, model: Any, answers: str) -> Path:
    mlflow.sklearn.save_model(
        model,
        folder,
        pyfunc_predict_fn=answers,
        signature=infer_signature(ROWS, getattr(model, answers)(ROWS)),
        input_example=ROWS.head(3),
        pip_requirements=FAST,
    )
    return folder
