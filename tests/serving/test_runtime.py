"""The runtime in the models' environment: whatever MLServer makes of a model's answer is understood."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.stack

# What a model returns for two rows -> what is counted.
ANSWERS: Mapping[str, str | None] = {
    "np.array([2, 0])": "label:2",
    "np.array([0.57, 9.0])": "number:0.5946",
    "np.array([[0.57], [9.0]])": "number:0.5946",
    "np.array([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1]])": "label:argmax:1",
    "np.array([True, False])": "label:true",
    "np.array(['class_2', 'class_1'])": "label:class_2",
    "np.array(['class_2', 'class_1'], dtype=object)": "label:class_2",
    "np.array([float('nan'), 1.0])": "label:nan",
    "['class_2', 'class_1']": "label:class_2",
    "pd.DataFrame({'price': [0.57, 9.0]})": "number:0.5946",
    "pd.DataFrame({'a': [0.1, 0.9], 'b': [0.8, 0.1]})": "label:argmax:1",
    "pd.DataFrame({'score': [0.57, 9.0], 'label': ['good', 'bad']})": "label:good",
    "{'label': np.array([2, 0])}": "label:2",
    "np.zeros((0,))": None,
}
MODEL = """
import mlflow, numpy as np, pandas as pd
class Answers:
    def predict(self, data, params=None):
        return eval(open('answer').read())
def _load_pyfunc(path):
    return Answers()
"""
DRIVER = """
import asyncio, json, os, sys
sys.path.insert(0, sys.argv[1])
from mlserver import ModelSettings
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest
from prometheus_client import REGISTRY

def counts():
    return {
        f"{s.labels['kind']}:{s.labels['value']}": s.value
        for family in REGISTRY.collect() if family.name == 'model_predictions' for s in family.samples
    }

async def main():
    column = {'name': 'a', 'datatype': 'FP64', 'shape': [2, 1], 'data': [1.0, 2.0]}
    request = {'parameters': {'content_type': 'pd'}, 'inputs': [column]}
    found = {}
    for answer in json.load(open('answers')):
        open('answer', 'w').write(answer)
        # Anew each time, as MLServer does it: it imports the implementation again.
        model = ModelSettings(
            name='m', implementation='serving.runtime.CountingRuntime', parameters=ModelParameters(uri='.')
        )
        runtime = model.implementation(model)
        await runtime.load()
        before = counts()
        try:
            await runtime.predict(InferenceRequest.model_validate(request))
        except Exception as error:
            found[answer] = repr(error)
            continue
        after = counts()
        found[answer] = {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key)}
    outside = [name for name in sys.modules if name.split('.')[0] in ('django', 'releases', 'tenants')]
    json.dump([found, outside], open('found', 'w'))

asyncio.run(main())
"""


def driven(folder: Path, answers: list[str]) -> tuple[Mapping[str, object], list[str]]:
    """What is counted per answer, and what was imported that should not have been."""
    (folder / "code").mkdir()
    (folder / "code" / "answering_model.py").write_text(MODEL)
    described = {"flavors": {"python_function": {"loader_module": "answering_model", "code": "code"}}}
    (folder / "MLmodel").write_text(json.dumps(described))
    (folder / "answers").write_text(json.dumps(answers))
    (folder / "beside").mkdir()
    (folder / "beside" / "serving").symlink_to(settings.BASE_DIR / "serving")
    done = subprocess.run(
        [str(settings.MODELS_PYTHON / "python"), "-c", DRIVER, "beside"],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found, outside = json.loads((folder / "found").read_text())
    return found, outside


def test_runtime_counts_the_first_row_of_every_kind_of_answer(tmp_path: Path) -> None:
    found, outside = driven(tmp_path, list(ANSWERS))
    assert found == {answer: {key: 1} if key else {} for answer, key in ANSWERS.items()}
    assert outside == []


def test_runtime_of_a_model_that_raises_counts_nothing_and_raises(tmp_path: Path) -> None:
    found, _ = driven(tmp_path, ["1 / 0", "np.array([1])"])
    assert found == {"1 / 0": "ZeroDivisionError('division by zero')", "np.array([1])": {"label:1": 1}}
