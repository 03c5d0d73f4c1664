"""The work of the pipeline: a training set from the feature store, a classifier of wines, its evaluation.

The measurements are those of the view `wine_measurements`: the UCI wine recognition set that ships inside
scikit-learn. Everything that a run of the pipeline makes can be found by the run's id, so that the same run
executed again makes nothing twice. Knows Feast, MLflow and scikit-learn, not ZenML.
"""

from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from pipelines.feature_repo.definitions import MEASUREMENTS
from pipelines.features import TIME, fill, training_set
from pipelines.wine import ARTIFACT_PATH, REQUIREMENTS, SEED, classifier, load
from serving.feature_store import open_store

EXPERIMENT = "bottles"
RUN_TAG = "pipeline_run"
LABEL = "cultivar"
LEAST_ACCURACY = 0.9
"""Of the held-out bottles; a worse model is not registered."""


class NotGoodEnough(Exception):
    """The evaluation says no; the message says by how much."""


def materialise(folder: Path, address: str, now: datetime) -> dict[str, int]:
    """Write what is known up to now into the store, offline and online; entities per view."""
    return fill(folder, now, address)


def labelled(folder: Path, address: str, now: datetime) -> pd.DataFrame:
    """Every bottle with the measurements that are known of it now, and its cultivar."""
    _, cultivars = load()
    bottles = pd.DataFrame(
        {"bottle_id": range(len(cultivars)), LABEL: cultivars, TIME: pd.Timestamp(now.astimezone(UTC))}
    )
    view_features = [f"wine_measurements:{name}" for name in MEASUREMENTS]
    joined = training_set(open_store(folder, address), bottles, view_features)
    return joined[[*MEASUREMENTS, LABEL]].dropna()


def halves(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two thirds to train, one third held out; the same rows each time."""
    train, test = train_test_split(rows, test_size=1 / 3, random_state=SEED, stratify=rows[LABEL])
    return train, test


def train(rows: pd.DataFrame, pipeline_run: str) -> str:
    """Train and log; the run of MLflow. When this pipeline run has logged one already, that one."""
    mlflow.set_experiment(EXPERIMENT)
    if known := logged_by(pipeline_run):
        return known
    chosen, held_out = halves(rows)
    columns = list(MEASUREMENTS)
    model = classifier(columns).fit(chosen[columns], chosen[LABEL])
    with mlflow.start_run(run_name=EXPERIMENT) as run:
        mlflow.log_params({"rows": len(chosen), "seed": SEED, "features": "wine_measurements"})
        mlflow.sklearn.log_model(
            model,
            name=ARTIFACT_PATH,
            signature=infer_signature(held_out[columns], model.predict(held_out[columns])),
            input_example=held_out[columns].head(2),
            pip_requirements=REQUIREMENTS,
        )
        mlflow.set_tag(RUN_TAG, pipeline_run)  # last: what has it is complete
    return str(run.info.run_id)


def logged_by(pipeline_run: str) -> str | None:
    """The run of MLflow in which this pipeline run has logged its model."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs(
        [experiment.experiment_id] if experiment else [], f"tags.{RUN_TAG} = '{pipeline_run}'", max_results=1
    )
    return str(found[0].info.run_id) if found else None


def evaluate(rows: pd.DataFrame, run_id: str) -> dict[str, float]:
    """Held-out accuracy and log loss, logged to the run; raises `NotGoodEnough`."""
    _, held_out = halves(rows)
    model = mlflow.sklearn.load_model(f"runs:/{run_id}/{ARTIFACT_PATH}")
    columns = list(MEASUREMENTS)
    metrics = {
        "accuracy": float(accuracy_score(held_out[LABEL], model.predict(held_out[columns]))),
        "log_loss": float(log_loss(held_out[LABEL], model.predict_proba(held_out[columns]))),
    }
    for name, value in metrics.items():
        MlflowClient().log_metric(run_id, name, value)
    if metrics["accuracy"] < LEAST_ACCURACY:
        right = f"{metrics['accuracy']:.1%} of the held-out bottles are told right"
        raise NotGoodEnough(f"{right}, {LEAST_ACCURACY:.0%} have to be")
    return metrics
