"""A composed model as MLflow loads it: core, blocks and members from the files beside the composition.

Works with `mlflow.pyfunc.load_model` anywhere: nothing is fetched. The file that MLflow logs as the
model's code is `composed_model.py`. Knows no registry, no server.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import load_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from serving import blocks
from serving.composition import FILE, MEMBERS_FOLDER, Composition, parse
from serving.cores import LoadedMember, core_of
from serving.errors import CannotLoad, RequestRefused


class ComposedModel(PythonModel):
    """The pyfunc model. It is never pickled: MLflow runs `composed_model.py` instead."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load everything. Raises `CannotLoad` with a sentence for whoever runs the server."""
        artifacts = Path(context.artifacts[Path(FILE).stem]).parent
        composition = parse(json.loads((artifacts / FILE).read_text(encoding="utf-8")))
        signature = Model.load(str(artifacts.parent)).signature
        if signature is None:
            raise CannotLoad("the MLmodel file of this composed model has no signature")
        self._predictor = open_composition(composition, artifacts, signature)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """One entry per row. Raises `RequestRefused` for no rows, and what the core raises."""
        if not len(model_input):
            raise RequestRefused("the request has no rows: there is nothing to predict")
        return self._predictor.predict(model_input, params or {})


def open_composition(
    composition: Composition, artifacts: Path, signature: ModelSignature
) -> blocks.Predictor:
    """The core with its blocks round it, ready to be asked."""
    with blocks.revealed(composition.blocks, artifacts) as folder:
        members = load_members([member.name for member in composition.core.members], folder)
    opened = blocks.Opened(composition.model, composition.identity, artifacts, signature)
    return blocks.wrap(composition.blocks, opened, core_of(composition.core, members))


def load_members(names: list[str], folder: Path) -> Mapping[str, LoadedMember]:
    """Every member from its folder below `members/`; raises `CannotLoad` that names the one that fails."""
    loaded = {}
    for name in names:
        try:
            model = load_model(str(folder / MEMBERS_FOLDER / name))
        except CannotLoad as error:  # a member may itself be composed
            raise CannotLoad(f"member {name}: {error}") from error
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            raise CannotLoad(f"member {name} did not load: {words}") from error
        loaded[name] = LoadedMember(name, model)
    return loaded
