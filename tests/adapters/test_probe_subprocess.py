"""The probe on real processes: models that work, and models that do what models should not."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest
import yaml
from django.conf import settings

from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.ports import ModelReport

SIGNATURE = {
    "inputs": json.dumps([{"type": "double", "name": "a", "required": True}]),
    "outputs": json.dumps([{"type": "double", "required": True}]),
    "params": None,
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Inspect = Callable[..., ModelReport]


@pytest.fixture(scope="module")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where it listens; what it has imported is what model servers need."""
    listens = tmp_path_factory.mktemp("fork") / "s"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(settings.BASE_DIR), **ONE_THREAD}
    command = [settings.MODELS_PYTHON / "python", "-m", "serving.fork_server", listens]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 60
        while not listens.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield listens
        assert process.poll() is None, "it ended, and nothing was forked"
        process.kill()


@pytest.fixture(params=[True, False], ids=["forked", "by itself"])
def forked(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def inspect(forked: bool, request: pytest.FixtureRequest, tmp_path: Path) -> Inspect:
    """Write an MLflow model whose load and predict are the given code, and look at it."""
    given = {"MODEL_CACHE_URL": "redis://cache/7"}
    if forked:
        given["FORK_SERVER"] = str(request.getfixturevalue("fork_server"))

    def run(
        load: str = "pass",
        predict: str = "return data[['a']] * 2",
        example: bool = True,
        seconds: float = 60,
        memory_mb: int = 1024,
    ) -> ModelReport:
        artifact = tmp_path / "artifact"
        (artifact / "code").mkdir(parents=True)
        described = {
            "flavors": {"python_function": {"loader_module": "odd_model", "code": "code"}},
            "signature": SIGNATURE,
        }
        if example:
            described["saved_input_example_info"] = {
                "artifact_path": "input_example.json",
                "type": "dataframe",
                "pandas_orient": "split",
            }
        (artifact / "MLmodel").write_text(yaml.safe_dump(described))
        (artifact / "input_example.json").write_text(json.dumps({"columns": ["a"], "data": [[1.5], [2.0]]}))
        (artifact / "code" / "odd_model.py").write_text(
            "import os, sys, time\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
            "class Odd:\n    def predict(self, data, params=None):\n"
            + indent(dedent(predict), " " * 8)
            + "\n\ndef _load_pyfunc(path):\n"
            + indent(dedent(load), " " * 4)
            + "\n    return Odd()\n"
        )
        probe = SubprocessProbe(
            SubprocessProbeConfig(settings.MODELS_PYTHON / "python", settings.BASE_DIR, given)
        )
        return probe.inspect(artifact, seconds, memory_mb)

    return run


def test_inspect_of_a_good_model_gives_example_and_outputs(inspect: Inspect) -> None:
    report = inspect()
    assert report.failure is None
    assert report.example == {
        "parameters": {"content_type": "pd"},
        "inputs": [{"name": "a", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2.0]}],
    }
    assert [(o["datatype"], o["shape"]) for o in report.outputs] == [("FP64", [2, 1])]
    assert report.flavors == ("python_function",)
    assert report.seconds > 0.1
    assert 50 < report.peak_memory_mb < 1024


def test_inspect_of_a_model_that_raises_on_loading_says_so(inspect: Inspect) -> None:
    report = inspect(load="raise ValueError('weights are missing ' + 'x' * 9999)")
    assert report.failure is not None
    assert report.failure.startswith("the model did not load: ValueError: weights are missing")
    assert len(report.failure) < 700


def test_inspect_of_a_model_that_raises_on_predicting_says_so(inspect: Inspect) -> None:
    report = inspect(predict="raise ValueError('unknown category')")
    assert report.failure == ("the model did not predict its input example: ValueError: unknown category")


def test_inspect_of_a_model_without_example_says_how_to_log_one(inspect: Inspect) -> None:
    report = inspect(example=False)
    assert report.failure == "the model has no input example: log it with input_example=…"


def test_inspect_of_a_model_that_hangs_ends_it_and_all_that_it_started(
    inspect: Inspect, tmp_path: Path
) -> None:
    report = inspect(
        load="""
            import subprocess
            child = subprocess.Popen(["sleep", "300"])
            open(os.path.join(HERE, "child"), "w").write(str(child.pid))
            time.sleep(300)
        """,
        seconds=3,
    )
    assert report.failure == "the model did not load within 3 s"
    child = int((tmp_path / "artifact" / "code" / "child").read_text())
    assert not is_running(child)


def test_inspect_of_a_model_that_hangs_while_predicting_says_so(inspect: Inspect) -> None:
    report = inspect(predict="time.sleep(300)", seconds=8)
    assert report.failure == "the model did not answer its input example within 8 s"


def test_inspect_ends_what_the_model_has_put_into_a_group_of_its_own(
    inspect: Inspect, tmp_path: Path
) -> None:
    report = inspect(
        load="""
            import subprocess
            child = subprocess.Popen(["sleep", "300"], process_group=0)
            open(os.path.join(HERE, "child"), "w").write(str(child.pid))
        """,
    )
    assert report.failure is None
    assert not is_running(int((tmp_path / "artifact" / "code" / "child").read_text()))


def test_inspect_runs_in_a_fork_only_where_it_is_told_so(inspect: Inspect, forked: bool) -> None:
    report = inspect(predict="raise ValueError(open('/proc/self/cmdline').read())")
    assert report.failure
    assert ("serving.fork_server" in report.failure) == forked


@pytest.mark.parametrize(
    "greedy",
    [
        "kept = [bytes([1]) * 50_000_000 for _ in range(100)]",  # page by page
        "import numpy; kept = numpy.zeros(10**12)",  # at once, more than there is
        "import subprocess; subprocess.run([sys.executable, '-c', "
        "'kept = bytes([1]) * 900_000_000; import time; time.sleep(60)'])",  # in a child
    ],
)
def test_inspect_of_a_model_that_eats_memory_ends_it(inspect: Inspect, greedy: str) -> None:
    report = inspect(predict=f"{greedy}\nreturn data['a']", memory_mb=800)
    assert report.failure == "the model needed more than 800 MB"


def test_inspect_of_a_model_that_crashes_names_the_signal(inspect: Inspect) -> None:
    report = inspect(predict="import ctypes; ctypes.string_at(0)")
    assert report.failure == "the model crashed its process while predicting (SIGSEGV)"


def test_inspect_of_a_model_that_exits_gives_its_last_words(inspect: Inspect) -> None:
    report = inspect(load="sys.stderr.write('no licence\\n'); sys.stderr.flush(); os._exit(3)")
    assert report.failure == "the process ended with code 3 while loading: no licence"


def test_inspect_shows_the_model_neither_secrets_nor_input(
    inspect: Inspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "PORTAL_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "REDIS_URL"):
        monkeypatch.setenv(name, "hidden-from-models")
    report = inspect(
        predict="""
            leaks = [name for name, value in os.environ.items() if value == "hidden-from-models"]
            assert "PATH" in os.environ
            told = os.environ["MODEL_CACHE_URL"]
            raise RuntimeError(f"leaks {leaks} told {told} input {sys.stdin.read()!r}")
        """
    )
    assert report.failure is not None
    assert report.failure.endswith("RuntimeError: leaks [] told redis://cache/7 input ''")


def test_inspect_of_a_model_that_puts_a_pipe_in_place_of_the_report_does_not_wait_for_it(
    inspect: Inspect,
) -> None:
    report = inspect(
        predict="""
            path = os.path.join(os.environ["HOME"], "report.json")
            os.remove(path)
            os.mkfifo(path)
            sys.stderr.write("forged\\n")
            sys.stderr.flush()
            os._exit(0)
        """
    )
    assert report.failure == "the process ended with code 0 while starting: forged"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
