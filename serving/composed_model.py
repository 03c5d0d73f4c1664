"""What MLflow logs as the code of a composed model, and runs to load it."""

from mlflow.models import set_model

from serving.composed import ComposedModel

set_model(ComposedModel())
