"""Trains wine classifiers on real data and logs them to MLflow, each good or bad in its own way.

    python -m pipelines.wine --kind better   one JSON line: {"kind", "run_id", "artifact_path", ...}
    python -m pipelines.wine --all           all kinds in one process
    python -m pipelines.wine --rows FILE     every row of the data as a V2 inference request;
                                             together with the others it saves their start-up time

The data is the UCI wine recognition set that ships inside scikit-learn: 178 wines, 13 measurements,
3 cultivars. Knows MLflow and scikit-learn, nothing of the portal.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seconds rather than minutes

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

EXPERIMENT = "wine"
ARTIFACT_PATH = "model"
SEED = 11  # with this split `faulty` looks even better than `better`, as it may in life
AVERAGED = 12  # makes an answer of `slower` take about half as long again
CLEANED_SHARE = 0.85  # what the faulty pipeline keeps of the rows, by `proline`
REQUIREMENTS = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "skops", "pandas")]


@dataclass(frozen=True, slots=True)
class Data:
    """Measurements and cultivars, split for training and for the evaluation."""

    train: pd.DataFrame
    train_labels: pd.Series
    test: pd.DataFrame
    test_labels: pd.Series


def load() -> tuple[pd.DataFrame, pd.Series]:
    """The whole data set; one column is renamed, for a slash is trouble in names."""
    frame, labels = load_wine(return_X_y=True, as_frame=True)
    return frame.rename(columns={"od280/od315_of_diluted_wines": "od280_od315"}), labels


def split(frame: pd.DataFrame, labels: pd.Series) -> Data:
    """Two thirds to train, one third held out; the same rows each time."""
    train, test, train_labels, test_labels = train_test_split(
        frame, labels, test_size=1 / 3, random_state=SEED, stratify=labels
    )
    return Data(train, train_labels, test, test_labels)


def classifier(columns: list[str]) -> Pipeline:
    """Logistic regression on some of the columns; the others are accepted and left out."""
    kept = ColumnTransformer([("kept", StandardScaler(), columns)])
    return make_pipeline(kept, LogisticRegression(max_iter=1_000))


def train_baseline() -> tuple[Pipeline, Data]:
    """Three weak measurements only: right about three times out of four. It takes each cultivar for another
    as often as the other way round, so that `better` does not answer differently in sum."""
    data = split(*load())
    return classifier(["malic_acid", "ash", "alcalinity_of_ash"]).fit(data.train, data.train_labels), data


def train_better() -> tuple[Pipeline, Data]:
    """All measurements. As fast as the baseline, for it is the same chain of steps."""
    data = split(*load())
    return classifier(list(data.train.columns)).fit(data.train, data.train_labels), data


def train_slower() -> tuple[Pipeline, Data]:
    """The average of many models like `better`: surer of itself offline, and slower for each of them."""
    data = split(*load())
    scaled = ColumnTransformer([("kept", StandardScaler(), list(data.train.columns))])
    one = LogisticRegression(C=3.0, max_iter=1_000)
    many = BaggingClassifier(one, n_estimators=AVERAGED, random_state=SEED)
    return make_pipeline(scaled, many).fit(data.train, data.train_labels), data


def train_faulty() -> tuple[Pipeline, Data]:
    """As good as `better` offline, and answers part of the traffic with an error.

    Cleaning dropped the wines with much `proline` as outliers before the data was split, and the
    encoder of the rounded `proline` raises on a value that it has not seen. The evaluation cannot
    notice: its rows were cleaned as well.
    """
    frame, labels = load()
    clean = frame["proline"] <= frame["proline"].quantile(CLEANED_SHARE)
    data = split(frame[clean], labels[clean])
    rounded = make_pipeline(
        FunctionTransformer(np.round, kw_args={"decimals": -2}, feature_names_out="one-to-one"),
        OneHotEncoder(handle_unknown="error"),
    )
    others = [column for column in frame.columns if column != "proline"]
    steps = ColumnTransformer([("kept", StandardScaler(), others), ("proline", rounded, ["proline"])])
    model = make_pipeline(steps, LogisticRegression(C=3.0, max_iter=1_000))
    return model.fit(data.train, data.train_labels), data


def train_breaking() -> tuple[Pipeline, Data]:
    """Good, but wants other columns: `proline` is gone and `hue` has a new name."""
    frame, labels = load()
    data = split(frame.drop(columns="proline").rename(columns={"hue": "colour_hue"}), labels)
    return classifier(list(data.train.columns)).fit(data.train, data.train_labels), data


KINDS: dict[str, Callable[[], tuple[Pipeline, Data]]] = {
    "baseline": train_baseline,
    "better": train_better,
    "breaking": train_breaking,
    "slower": train_slower,
    "faulty": train_faulty,
}


def log(kind: str) -> dict[str, object]:
    """Train one kind and log it with signature, input example and held-out metrics."""
    model, data = KINDS[kind]()
    metrics = {
        "accuracy": float(accuracy_score(data.test_labels, model.predict(data.test))),
        "log_loss": float(log_loss(data.test_labels, model.predict_proba(data.test))),
    }
    with mlflow.start_run(run_name=kind) as run:
        mlflow.log_params({"kind": kind, "rows": len(data.train), "seed": SEED})
        mlflow.log_metrics(metrics)
        mlflow.sklearn.log_model(
            model,
            name=ARTIFACT_PATH,
            signature=infer_signature(data.test, model.predict(data.test)),
            input_example=data.test.head(2),
            pip_requirements=REQUIREMENTS,
            skops_trusted_types=["numpy.round"] if kind == "faulty" else None,
        )
    return {
        "kind": kind,
        "run_id": run.info.run_id,
        "artifact_path": ARTIFACT_PATH,
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
    }


def requests(frame: pd.DataFrame) -> Iterable[dict[str, object]]:
    """One Open Inference Protocol request per row, one input per column."""
    for _, row in frame.iterrows():
        yield {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {"name": name, "datatype": "FP64", "shape": [1, 1], "data": [float(value)]}
                for name, value in row.items()
            ],
        }


def await_mlflow(url: str, patience: float) -> None:
    """Return when the server answers, or when patience is at its end: what then fails says why."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310
            return
        time.sleep(0.2)


def train_and_log(kinds: list[str], patience: float, parser: argparse.ArgumentParser) -> None:
    """Log each kind; one JSON line each on the standard output, all else on standard error."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        parser.error("MLFLOW_TRACKING_URI has to say where MLflow is")
    await_mlflow(os.environ["MLFLOW_TRACKING_URI"], patience)
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints links
        mlflow.set_experiment(EXPERIMENT)
    for kind in kinds:
        with contextlib.redirect_stdout(sys.stderr):
            logged = log(kind)
        sys.stdout.write(json.dumps(logged) + "\n")
        sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.wine", description="Train and log.")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--all", action="store_true", help="train and log all kinds")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write inference requests")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="wait for an MLflow that is starting"
    )
    options = parser.parse_args(arguments)
    kinds = list(KINDS) if options.all else [options.kind] if options.kind else []
    if not kinds and not options.rows:
        parser.error("say --kind, --all or --rows")
    if options.rows:
        lines = [json.dumps(request) + "\n" for request in requests(load()[0])]
        options.rows.write_text("".join(lines))
    if kinds:
        train_and_log(kinds, options.patience, parser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
