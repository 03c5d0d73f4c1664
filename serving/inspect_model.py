"""Loads one MLflow model as MLServer will, predicts its input example, and writes down what happened.

    python -m serving.inspect_model DIRECTORY REPORT --memory-mb 4096 --cpu-seconds 60

Runs in the models environment in a process of its own: what it loads may be broken or hostile. The
report is JSON; it is written at each stage, so that whoever ends this process knows how far it came.
Knows nothing of the portal.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from serving.forked import end_with_parent

HEADROOM_MB = 1024  # the interpreter and the mathematical libraries reserve more than they use
LARGEST_FILE_MB = 256
EXAMPLE_ROWS = 16
LONGEST_MESSAGE = 500


class Failure(Exception):
    """A sentence that says what the model did not do."""


def limit(memory_mb: int, cpu_seconds: int) -> None:
    """Bind this process before anything foreign is loaded; it also ends when its parent does."""
    end_with_parent()
    megabyte = 1 << 20
    for what, most in (
        (resource.RLIMIT_DATA, (memory_mb + HEADROOM_MB) * megabyte),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, LARGEST_FILE_MB * megabyte),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


class Report:
    """The report file: replaced as a whole, so that it is never half written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"stage": "starting", "failure": None}

    def write(self, **changes: Any) -> None:
        """Change some keys."""
        self.content |= changes
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.content))
        new.replace(self.path)


def v2_request(example: Any) -> dict[str, Any]:
    """The Open Inference Protocol request for an input example, encoded by MLServer's own codecs."""
    import numpy as np
    import pandas as pd
    from mlserver.codecs import NumpyRequestCodec, PandasCodec
    from mlserver_mlflow.codecs import TensorDictCodec

    if isinstance(example, np.ndarray):
        request = NumpyRequestCodec.encode_request(example[:EXAMPLE_ROWS])
    elif isinstance(example, dict) and all(isinstance(v, np.ndarray) for v in example.values()):
        request = TensorDictCodec.encode_request(example)
    elif isinstance(example, pd.DataFrame | pd.Series | list | dict):
        frame = pd.DataFrame([example] if isinstance(example, dict) else example)
        request = PandasCodec.encode_request(frame.head(EXAMPLE_ROWS), use_bytes=False)
    else:
        raise Failure(f"the input example is a {type(example).__name__}, which cannot be sent")
    encoded: dict[str, Any] = json.loads(request.model_dump_json(exclude_none=True))
    return encoded


async def inspect(directory: Path, report: Report) -> None:
    """Load and predict through MLServer's MLflow runtime."""
    from mlflow.models import Model
    from mlserver import ModelSettings
    from mlserver.settings import ModelParameters
    from mlserver.types import InferenceRequest
    from mlserver_mlflow import MLflowRuntime

    report.write(stage="loading")
    try:
        described = Model.load(str(directory))
        report.write(flavors=sorted(described.flavors))
        settings = ModelSettings(
            name="inspected",
            implementation=MLflowRuntime,
            parameters=ModelParameters(uri=str(directory)),
        )
        runtime = MLflowRuntime(settings)
        runtime.ready = await runtime.load()
    except Exception as error:
        raise Failure(f"the model did not load: {in_words(error)}") from error

    report.write(stage="predicting")
    if not described.saved_input_example_info:
        raise Failure("the model has no input example: log it with input_example=…")
    try:
        request = v2_request(described.load_input_example(str(directory)))
        report.write(example=request)
        answer = await runtime.predict(InferenceRequest.model_validate(request))
    except Failure:
        raise
    except Exception as error:
        raise Failure(f"the model did not predict its input example: {in_words(error)}") from error
    report.write(
        stage="done",
        outputs=[
            {"name": output.name, "datatype": output.datatype, "shape": output.shape}
            for output in answer.outputs
        ],
    )


def in_words(error: BaseException) -> str:
    """The exception in one line, cut; a lack of memory anywhere in its causes is passed on as such."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise MemoryError from error
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:LONGEST_MESSAGE]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.inspect_model", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--cpu-seconds", type=int, required=True)
    options = parser.parse_args()
    limit(options.memory_mb, options.cpu_seconds)
    report = Report(options.report)
    report.write()
    try:
        asyncio.run(inspect(options.directory.resolve(), report))
    except Failure as failure:
        report.write(failure=str(failure))
    except MemoryError:
        report.write(out_of_memory=True)
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        report.write(peak_memory_mb=usage.ru_maxrss / 1024)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the model left behind must not hold the process


if __name__ == "__main__":
    sys.exit(main())
