"""Executes the `run:` steps of a workflow or an action as GitHub's runner would: bash -e, the environment
merged from workflow, job and step, `if:`, outputs through GITHUB_OUTPUT. Of expressions it knows what our
files use."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
Values = Mapping[str, Any]


@dataclass
class Step:
    """What came of a step; `code` is None when it was skipped."""

    name: str
    code: int | None
    said: str = ""


@dataclass
class Job:
    """A job that has run."""

    steps: list[Step] = field(default_factory=list)
    summary: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def codes(self) -> dict[str, int | None]:
        """Exit codes by the steps' names."""
        return {step.name: step.code for step in self.steps}

    @property
    def has_failed(self) -> bool:
        """Whether any step has."""
        return any(step.code for step in self.steps)


@dataclass(frozen=True)
class Runner:
    """`checkout` is where the repository is; `home` and `path` are HOME and PATH of the steps; `contexts`
    holds inputs, vars and secrets."""

    checkout: Path
    home: Path
    path: str
    contexts: Values

    def job(self, workflow: Values, name: str) -> Job | None:
        """Execute a job of a workflow; None when its condition says no."""
        described = workflow["jobs"][name]
        if not self._holds(described.get("if", "always()"), Job()):
            return None
        return self._execute(described["steps"], [workflow.get("env", {}), described.get("env", {})], {})

    def action(self, folder: Path) -> Job:
        """Execute a composite action."""
        described = yaml.safe_load((folder / "action.yml").read_text())
        assert described["runs"]["using"] == "composite"
        given = {name: said.get("default", "") for name, said in described["inputs"].items()}
        assert not set(self.contexts["inputs"]) - set(given)
        required = {name for name, said in described["inputs"].items() if said.get("required")}
        assert required <= set(self.contexts["inputs"])
        inside = Runner(
            self.checkout,
            self.home,
            self.path,
            {**self.contexts, "inputs": given | dict(self.contexts["inputs"])},
        )
        return inside._execute(described["runs"]["steps"], [], {"GITHUB_ACTION_PATH": str(folder)})

    def _execute(self, steps: Sequence[Values], above: Sequence[Values], more: Mapping[str, str]) -> Job:
        job = Job()
        with tempfile.TemporaryDirectory() as folder:
            summary = Path(folder, "summary.md")
            for number, step in enumerate(steps):
                if "run" not in step:
                    continue  # checkout and setup-python: the test has done what they do
                output = Path(folder, f"output-{number}")
                output.touch()
                given = {
                    "PATH": self.path,
                    "HOME": str(self.home),
                    "CI": "true",
                    "GITHUB_ACTIONS": "true",
                    "GITHUB_STEP_SUMMARY": str(summary),
                    "GITHUB_OUTPUT": str(output),
                    "GITHUB_RUN_ID": str(abs(hash(folder))),
                    "GITHUB_RUN_ATTEMPT": "1",
                    **more,
                }
                for environment in (*above, step.get("env", {})):
                    given |= {key: self._filled(str(value), job) for key, value in environment.items()}
                job.steps.append(self._run(step, given, job))
                if identity := step.get("id"):
                    job.outputs[identity] = dict(
                        line.split("=", 1) for line in output.read_text().splitlines()
                    )
            job.summary = summary.read_text() if summary.exists() else ""
        return job

    def _run(self, step: Values, environment: Mapping[str, str], job: Job) -> Step:
        name = step["name"]
        condition = str(step.get("if", "success()"))
        if not re.search(r"\b(success|failure|always|cancelled)\(\)", condition):
            condition = f"success() && {condition}"
        if not self._holds(condition, job):
            return Step(name, None)
        script = self._filled(step["run"], job)
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
            cwd=self.checkout,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return Step(name, ran.returncode, ran.stdout)

    def _filled(self, text: str, job: Job) -> str:
        return EXPRESSION.sub(lambda found: str(self._value(found[1], job)), text)

    def _holds(self, condition: str, job: Job) -> bool:
        return all(bool(self._value(part.strip(), job)) for part in condition.split("&&"))

    def _value(self, expression: str, job: Job) -> Any:
        if compared := re.fullmatch(r"(\S+)\s*(==|!=)\s*(\S+)", expression):
            left, operator, right = compared.groups()
            is_equal = self._value(left, job) == self._value(right, job)
            return is_equal if operator == "==" else not is_equal
        if expression in ("success()", "failure()", "always()"):
            return {"success()": not job.has_failed, "failure()": job.has_failed, "always()": True}[
                expression
            ]
        if quoted := re.fullmatch(r"'([^']*)'", expression):
            return quoted[1]
        if output := re.fullmatch(r"steps\.([\w-]+)\.outputs\.([\w-]+)", expression):
            return job.outputs.get(output[1], {}).get(output[2], "")
        context, name = expression.split(".", 1)
        return self.contexts[context][name]


def path_with(programs: Path) -> str:
    """PATH with a folder of programs in front."""
    return f"{programs}{os.pathsep}{os.environ['PATH']}"
