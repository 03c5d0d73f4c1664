"""`manage.py replay` as somebody runs it in a clean clone: no engine, no setting, no state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.domain.replay.recordings import steady

BAD_LINE = '{"t": 1, "stable": null, "candidate": {"requests": 1, "errors": 2}}'
ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """In an environment with nothing but a PATH and an empty folder for state."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "replay", *arguments],
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(tmp_path / "var")},
    )


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A candidate that fails one time in ten."""
    file = tmp_path / "bad.jsonl"
    file.write_text("\n".join(steady(60, failing=0.1)) + "\n")
    return file


def test_replay_prints_a_page_without_any_engine_or_setting(tmp_path: Path, recording: Path) -> None:
    done = run(tmp_path, str(recording))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("HARM at ")
    assert done.stdout.endswith("Driven by: limit on the error rate.\n")
    assert not (tmp_path / "var").exists()


def test_replay_of_standard_input_prints_one_object(tmp_path: Path, recording: Path) -> None:
    done = run(tmp_path, "-", "--json", given=recording.read_text())
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    content = json.loads(done.stdout)
    assert (content["kind"], content["at"]) == ("harm", content["samples"])
    assert content["rules"][0]["rule"] == "errors_vs_stable"


def test_replay_stream_prints_an_object_after_each_sample_and_the_decision_last(
    tmp_path: Path, recording: Path
) -> None:
    said = [json.loads(text) for text in run(tmp_path, str(recording), "--stream").stdout.splitlines()]
    whole = json.loads(run(tmp_path, str(recording), "--json").stdout)
    assert said[-1] == whole
    assert [one["samples"] for one in said] == list(range(1, whole["samples"] + 1))
    assert {one["at"] for one in said[:-1]} == {None}


def test_replay_stream_answers_while_the_input_is_still_open(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "replay", "-", "--stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(tmp_path)},
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n".join(steady(3)) + "\n")
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["samples"] for _ in range(3)] == [1, 2, 3]
        process.stdin.close()
        assert process.wait(30) == 0


def test_replay_with_a_plan_judges_by_it(tmp_path: Path, recording: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"rules": {"error_rate_max": 0.3, "compare_errors": False}, "steps": []}))
    content = json.loads(run(tmp_path, str(recording), "--plan", str(plan), "--json").stdout)
    assert content["kind"] != "harm"
    states = {rule["rule"]: rule["state"] for rule in content["rules"]}
    assert states["errors_vs_stable"] == "off"


@pytest.mark.parametrize(
    ("text", "plan", "said"),
    [
        ("\n" + BAD_LINE, "{}", "line 2: candidate.errors is larger than requests"),
        ("", "{}", "there is no sample in it"),
        ("\udcff", "{}", "is not text in UTF-8"),
        (steady(1)[0], "{", "plan.json is not JSON"),
        (steady(1)[0], '{"rules": {"alpah": 1}}', "plan.rules.alpah: unknown key; known are"),
        (steady(1)[0], '{"alpha": 0.9}', "plan.alpha: has to be from 1e-06 to 0.2, not 0.9"),
        (steady(1)[0], '{"alpha": ' + "9" * 400 + "}", "plan.alpha: has to be a number"),
        (steady(1)[0], "\udcff", "plan.json is not text in UTF-8"),
    ],
)
def test_replay_of_something_unreadable_says_what_and_ends_with_2(
    tmp_path: Path, text: str, plan: str, said: str
) -> None:
    file, plan_file = tmp_path / "file.jsonl", tmp_path / "plan.json"
    file.write_text(text, errors="surrogateescape")
    plan_file.write_text(plan, errors="surrogateescape")
    done = run(tmp_path, str(file), "--plan", str(plan_file), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_replay_broken_line_after_the_decision_is_not_overlooked(tmp_path: Path, recording: Path) -> None:
    recording.write_text(recording.read_text() + '{"t": 61}\n')
    done = run(tmp_path, str(recording))
    assert (done.returncode, done.stdout) == (2, "")
    assert "line 61: stable is missing" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("nowhere.jsonl",), ("-", "--plan", "nowhere.json"), ("-", "--plan", ""), ("-", "-x"), ()]
)
def test_replay_without_what_it_needs_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments, given=steady(1)[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("option", ["--json", "--stream"])
def test_replay_that_cannot_write_its_answer_says_so(recording: Path, option: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "replay", str(recording), option],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )
    assert done.returncode == 1
    assert done.stderr == "CommandError: the answer cannot be written: No space left on device\n"


def test_replay_reader_that_stops_reading_is_no_failure(tmp_path: Path, recording: Path) -> None:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "replay", "-", "--stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(tmp_path)},
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write("\n".join(steady(3)) + "\n")
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
