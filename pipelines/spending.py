"""Trains what a user will spend in the coming week on features of the store, and logs it to MLflow.

    python -m pipelines.spending FOLDER      one JSON line: {"kind", "run_id", "artifact_path", "metrics"}
    python -m pipelines.spending FOLDER --fill   first what `pipelines.features` does, with its line

FOLDER is the Feast repository that `pipelines.features` has filled. The features of a row are those of a week
ago, joined point in time, and the label is what was spent since: nothing in a row is from later than what it
is asked to predict. The users are made up, and so is what they spend. Knows MLflow, Feast and scikit-learn,
nothing of the portal.
"""

import argparse
import contextlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seconds rather than minutes

import mlflow
import pandas as pd
from feast import FeatureStore
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.features import TIME, USERS, filled, training_set
from pipelines.wine import ARTIFACT_PATH, await_mlflow
from serving.errors import CannotLoad
from serving.feature_store import open_store

EXPERIMENT = "spending"
SEED = 5
WEEK = timedelta(days=7)
FEATURES = ("age", "avg_purchase", "total_spend")
TYPES = {"age": "int64", "avg_purchase": "float32", "total_spend": "float32"}
REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "pandas")


def weeks(store: FeatureStore, until: datetime) -> tuple[pd.DataFrame, pd.Series]:
    """Features of each user a week before `until`, and what the user has spent since then."""
    view_features = [f"user_features:{name}" for name in FEATURES]

    def known_at(moment: datetime) -> pd.DataFrame:
        rows = pd.DataFrame({"user_id": range(1, USERS + 1), TIME: pd.Timestamp(moment)})
        return training_set(store, rows, view_features)[list(FEATURES)].astype(TYPES)

    before, now = known_at(until - WEEK), known_at(until)
    return before, (now["total_spend"] - before["total_spend"]).rename("week").astype(float)


def log(features: pd.DataFrame, spent: pd.Series) -> dict[str, object]:
    """Train on two thirds of the users, judge by the others, log."""
    train, test, train_spent, test_spent = train_test_split(
        features, spent, test_size=1 / 3, random_state=SEED
    )
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(train, train_spent)
    metrics = {
        "mean_absolute_error": float(mean_absolute_error(test_spent, model.predict(test))),
        "of_the_mean": float(mean_absolute_error(test_spent, [train_spent.mean()] * len(test))),
    }
    with mlflow.start_run(run_name="regression") as run:
        mlflow.log_params({"rows": len(train), "seed": SEED})
        mlflow.log_metrics(metrics)
        mlflow.sklearn.log_model(
            model,
            name=ARTIFACT_PATH,
            signature=infer_signature(test, model.predict(test)),
            input_example=test.head(2),
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        )
    return {
        "kind": "regression",
        "run_id": run.info.run_id,
        "artifact_path": ARTIFACT_PATH,
        "metrics": {name: round(value, 2) for name, value in metrics.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.spending", description="Train and log.")
    parser.add_argument("folder", type=Path, help="the Feast repository")
    parser.add_argument("--fill", action="store_true", help="fill it first, as pipelines.features does")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="wait for an MLflow that is starting"
    )
    options = parser.parse_args(arguments)
    for name in ("MLFLOW_TRACKING_URI", "FEATURE_ONLINE_URL"):
        if not os.environ.get(name):
            parser.error(f"{name} has to be set")
    folder, address = options.folder.resolve(), os.environ["FEATURE_ONLINE_URL"]
    if options.fill:
        try:
            filled(folder, datetime.now(UTC), address)
        except CannotLoad as error:
            parser.error(str(error))
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints links, Feast tells how far it is
        store = open_store(folder, address)
        newest = pd.read_parquet(folder / "data" / "users.parquet")[TIME].max()
        features, spent = weeks(store, newest.to_pydatetime())
        await_mlflow(os.environ["MLFLOW_TRACKING_URI"], options.patience)
        mlflow.set_experiment(EXPERIMENT)
        logged = log(features, spent)
    sys.stdout.write(json.dumps(logged) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
