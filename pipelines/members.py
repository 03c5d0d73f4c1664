"""Trains three unlike classifiers on one real data set, the members of an ensemble, and logs them to MLflow.

    python -m pipelines.members --all            one JSON line per member, and one for the ensemble
    python -m pipelines.members --kind forest    only that member
    python -m pipelines.members --larger forest  another version of it; after the others, if any are asked for
    python -m pipelines.members --rows FILE      every row of the data as a V2 inference request

The data is the Wisconsin breast cancer set that ships inside scikit-learn: 569 tumours, 30 measurements,
benign or malignant. All members answer the probabilities of the two classes. Knows MLflow, scikit-learn
and XGBoost, nothing of the portal.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seconds rather than minutes

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from pipelines.wine import ARTIFACT_PATH, await_mlflow, requests
from serving.combining import weighted_mean

EXPERIMENT = "tumours"
SEED = 3
REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "pandas")
TREES_NEED = ("xgboost-cpu",)
# What skops asks for; the model has no other types than these and those of numpy and scikit-learn.
TRUSTED = {
    "forest": ["sklearn.tree._tree.Tree"],
    "trees": ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"],
    "network": ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"],
}


@dataclass(frozen=True, slots=True)
class Data:
    """Measurements and diagnoses (0 malignant, 1 benign), split for training and for the evaluation."""

    train: pd.DataFrame
    train_labels: pd.Series
    test: pd.DataFrame
    test_labels: pd.Series


def measurements() -> tuple[pd.DataFrame, pd.Series]:
    """The whole data set."""
    frame, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    return frame.rename(columns=lambda name: name.replace(" ", "_")), labels


def load() -> Data:
    """Two thirds to train, one third held out; the same rows each time."""
    frame, labels = measurements()
    train, test, train_labels, test_labels = train_test_split(
        frame, labels, test_size=1 / 3, random_state=SEED, stratify=labels
    )
    return Data(train, train_labels, test, test_labels)


def forest(larger: bool) -> RandomForestClassifier:
    """A random forest; `larger` has four times as many trees."""
    return RandomForestClassifier(n_estimators=200 if larger else 50, random_state=SEED)


def trees(larger: bool) -> XGBClassifier:
    """Gradient-boosted trees of XGBoost, on one thread: the members run side by side already."""
    return XGBClassifier(n_estimators=200 if larger else 50, max_depth=3, n_jobs=1, random_state=SEED)


def network(larger: bool) -> Pipeline:
    """A small neural net on scaled measurements."""
    hidden = (32, 16) if larger else (16,)
    return make_pipeline(
        StandardScaler(), MLPClassifier(hidden, max_iter=2_000, alpha=0.1, random_state=SEED)
    )


KINDS: dict[str, Callable[[bool], Any]] = {"forest": forest, "trees": trees, "network": network}


def metrics_of(probabilities: np.ndarray, labels: pd.Series) -> dict[str, float]:
    """Held-out accuracy and log loss of probabilities of the two classes, shape (rows, 2)."""
    exact = probabilities / probabilities.sum(axis=1, keepdims=True)  # XGBoost computes in single precision
    return {
        "accuracy": round(float(accuracy_score(labels, probabilities.argmax(axis=1))), 4),
        "log_loss": round(float(log_loss(labels, exact)), 4),
    }


def log(kind: str, larger: bool, data: Data) -> tuple[dict[str, object], np.ndarray]:
    """Train one member and log it; what was logged, and its held-out probabilities."""
    model = KINDS[kind](larger).fit(data.train, data.train_labels)
    probabilities = np.asarray(model.predict_proba(data.test), dtype=float)
    metrics = metrics_of(probabilities, data.test_labels)
    packages = (*REQUIREMENTS, *(TREES_NEED if kind == "trees" else ()))
    with mlflow.start_run(run_name=kind) as run:
        mlflow.log_params({"kind": kind, "larger": larger, "rows": len(data.train), "seed": SEED})
        mlflow.log_metrics(metrics)
        mlflow.sklearn.log_model(
            model,
            name=ARTIFACT_PATH,
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(data.test, model.predict_proba(data.test)),
            input_example=data.test.head(2),
            pip_requirements=[f"{package}=={version(package)}" for package in packages],
            skops_trusted_types=TRUSTED[kind],
        )
    logged = {"kind": f"larger {kind}" if larger else kind, "run_id": run.info.run_id}
    return {**logged, "artifact_path": ARTIFACT_PATH, "metrics": metrics}, probabilities


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.members", description="Train and log.")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--all", action="store_true", help="all kinds, and their ensemble's accuracy")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write inference requests")
    parser.add_argument("--larger", choices=KINDS, help="a larger one of this kind")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="wait for an MLflow that is starting"
    )
    options = parser.parse_args(arguments)
    kinds = list(KINDS) if options.all else [options.kind] if options.kind else []
    if not kinds and not options.larger and not options.rows:
        parser.error("say --kind, --all, --larger or --rows")
    if options.rows:
        lines = [json.dumps(request) + "\n" for request in requests(measurements()[0])]
        options.rows.write_text("".join(lines))
    if not kinds and not options.larger:
        return 0
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        parser.error("MLFLOW_TRACKING_URI has to say where MLflow is")
    await_mlflow(os.environ["MLFLOW_TRACKING_URI"], options.patience)
    data = load()
    found: list[np.ndarray] = []
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints links
        mlflow.set_experiment(EXPERIMENT)
    for kind in kinds:
        logged, probabilities = _logged(kind, larger=False, data=data)
        found.append(probabilities)
        _say(logged)
    if options.all:
        # As the composed model will answer: with equal weights.
        _say({"kind": "ensemble", "metrics": metrics_of(weighted_mean(found, [1.0] * 3), data.test_labels)})
    if options.larger:
        _say(_logged(options.larger, larger=True, data=data)[0])
    return 0


def _logged(kind: str, larger: bool, data: Data) -> tuple[dict[str, object], np.ndarray]:
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints links
        return log(kind, larger, data)


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
