"""The runtime of MLServer under which models are served: MLflow's, and it counts what was predicted.

The counter `model_predictions_total{kind, value}` appears on MLServer's own metrics endpoint. One model
per server, no parallel workers: the counts are those of this process. MLflow's own `/invocations`, which
no gateway routes to, is not counted. Imports nothing of the portal.
"""

from mlserver import ModelSettings
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver_mlflow import MLflowRuntime

from serving.answers import noted
from serving.errors import RequestRefused
from serving.predictions import counter_of_this_process


class CountingRuntime(MLflowRuntime):  # type: ignore[misc]  # the portal's environment has no MLServer
    """Named in the `implementation` of model-settings.json."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self._predictions = counter_of_this_process()

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """As the model does; an error is nobody's prediction, and an answer from the cache is an old one."""
        with noted() as note:
            try:
                response = await super().predict(payload)
            except RequestRefused as error:
                raise InferenceError(str(error)) from error  # status 400: the caller's mistake
        if not note.is_from_cache:
            self._predictions.count(response.outputs)
        return response
