"""Makes the models of `bench.serving`, in the models' environment: `python -m bench.serving_models FOLDER`.

Three classifiers of the wines of scikit-learn, composed in several ways without a registry. Prints one JSON
line: where the models are, rows to ask with, how long loading takes plain and encrypted, and how long an
ensemble answers with its members side by side and one after the other.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature

from pipelines.features import fill
from pipelines.members import KINDS, TRUSTED
from pipelines.wine import load
from serving import compose, spec
from serving.composed import load_members
from serving.composition import MEMBERS_FOLDER, Composition, Member, parse
from serving.cores import Ensemble
from serving.digests import digest

ROUNDS = 200
LOADS = 5
SIZES = (1, 1_000)
SINGLE = {"kind": "single", "members": ["network"]}
ENSEMBLE = {"kind": "ensemble", "combine": "mean_of_probabilities", "members": list(KINDS)}


def features(columns: list[str]) -> dict[str, Any]:
    """The block that looks all measurements of a bottle up."""
    return {
        "entity": "bottle_id",
        "view_features": [f"wine_measurements:{name}" for name in columns],
        "example_ids": [1, 2],
    }


def train(folder: Path, frame: pd.DataFrame, labels: pd.Series) -> None:
    """Each kind of member, saved below `folder`."""
    for kind, make in KINDS.items():
        model = make(False).fit(frame, labels)
        mlflow.sklearn.save_model(
            model,
            folder / kind,
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(frame, model.predict_proba(frame)),
            input_example=frame.head(2),
            pip_requirements=["scikit-learn"],  # said, so that MLflow does not look for them
            skops_trusted_types=TRUSTED[kind],
        )


def composed(trained: Path, folder: Path, core: Mapping[str, Any], blocks: Mapping[str, Any]) -> Path:
    """A composed model of trained members, with blocks."""
    names = core["members"]
    wanted = {name: {"model": name, "version": "1.0.0"} for name in names}
    file = folder.with_suffix(".yaml")
    content = {"model": folder.name, "change": "minor", "core": {**core, "members": wanted}, **blocks}
    file.write_text(yaml.safe_dump(content))
    work = folder / "work"
    (work / MEMBERS_FOLDER).mkdir(parents=True)
    members = []
    for name in names:
        # A copy: MLflow refuses a link that leads out of the folder.
        shutil.copytree(trained / name, work / MEMBERS_FOLDER / name)
        weight = 1 / len(names) if core["kind"] == "ensemble" else None
        members.append(Member(name, name, "1.0.0", 1, digest(trained / name), weight))
    prepared = compose.assemble(spec.load(file), members, work)
    mlflow.pyfunc.save_model(folder / "model", **compose.model_arguments(prepared, folder / "code"))
    return folder / "model"


def seconds_to_load(model: Path) -> float:
    """The median; MLflow is imported already."""
    spent = []
    for _ in range(LOADS):
        began = time.perf_counter()
        mlflow.pyfunc.load_model(str(model))
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def side_by_side(model: Path, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Median milliseconds of an ensemble in this process, its members in parallel and in sequence."""
    artifacts = model / "artifacts"
    composition: Composition = parse(json.loads((artifacts / "composition.json").read_text()))
    loaded = load_members([member.name for member in composition.core.members], artifacts)
    members = [loaded[member.name] for member in composition.core.members]
    ways = {
        "in parallel": Ensemble(composition.core, members, workers=len(members)),
        "in sequence": Ensemble(composition.core, members, workers=1),
    }
    found = []
    for size in SIZES:
        rows = frame.sample(size, replace=True, random_state=0).reset_index(drop=True)
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(-10, ROUNDS):
            for way, ensemble in ways.items():
                began = time.perf_counter()
                ensemble.predict(rows, {})
                if number >= 0:
                    spent[way].append(1_000 * (time.perf_counter() - began))
        found += [{"rows": size, "members": way, "median ms": float(np.median(spent[way]))} for way in ways]
    return found


def main() -> None:
    """Make everything, print where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    trained = folder / "trained"
    frame, labels = load()
    with contextlib.redirect_stdout(sys.stderr):
        fill(Path(os.environ["FEATURE_STORE"]), datetime.now(UTC), os.environ["FEATURE_ONLINE_URL"])
        train(trained, frame, labels)
        looked_up = features(list(frame.columns))
        variants: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
            "single": (SINGLE, {}),
            "encrypted": (SINGLE, {"encryption": {}}),
            "featured": (SINGLE, {"features": looked_up}),
            "cached": (SINGLE, {"cache": {}}),
            "stacked": (SINGLE, {"features": looked_up, "cache": {}}),
            "ensemble": (ENSEMBLE, {}),
        }
        models = {"bare": trained / "network"}
        for name, (core, blocks) in variants.items():
            models[name] = composed(trained, folder / name, core, blocks)
        made = {
            "models": {name: str(model) for name, model in models.items()},
            "rows": frame.head(10).to_dict("records"),
            "load_seconds": {name: seconds_to_load(models[name]) for name in ("single", "encrypted")},
            "ensemble": side_by_side(models["ensemble"], frame),
        }
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
