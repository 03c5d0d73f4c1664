"""Trains what the story needs in the background, as soon as the engines that it needs are there.

Knows the pipelines' command lines only; must not know the portal.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mlops_portal.demo.display import Teller
from mlops_portal.demo_serving.workshop import PATIENCE, Workshop

WAIT = ("--patience", f"{PATIENCE:.0f}")
WIDER = "larger network"


class Trainings:
    """Runs of MLflow by kind, as futures. `models` False writes requests and features only: what is to be
    trained is there already."""

    def __init__(self, workshop: Workshop, teller: Teller, aside: ThreadPoolExecutor, models: bool) -> None:
        self._workshop, self._teller = workshop, teller
        self.models = models
        self.rows = workshop.layout.var / "demo-serving-requests.jsonl"
        self.members: Future[dict[str, str]] = aside.submit(self._members)
        self.spending: Future[str] = aside.submit(self._spending)

    def _members(self) -> dict[str, str]:
        """The runs of the members, and under `WIDER` that of another version of one."""
        what = ["--all", "--larger", "network", *WAIT] if self.models else []
        lines = self._workshop.run("members", "pipelines.members", "--rows", str(self.rows), *what)
        for line in lines:
            accuracy = f"{line['metrics']['accuracy']:.1%}"
            self._teller.line(
                "training", f"{line['kind']}: {accuracy} of the held-out tumours are told right"
            )
        return {line["kind"]: line["run_id"] for line in lines if "run_id" in line}

    def _spending(self) -> str:
        """Fill the feature store, every time: what it knows of users is stale after a day. Train on it."""
        folder = str(self._workshop.layout.feature_store)
        both = ("pipelines.spending", folder, "--fill", *WAIT)
        asked = both if self.models else ("pipelines.features", folder)
        filled, *trained = self._workshop.run("spending", *asked)
        users = filled["entities"]["user_features"]
        self._teller.line("features", f"{users} made-up users are in the feature store, offline and online")
        return _run_of(trained) if self.models else ""


def _run_of(lines: list[dict[str, Any]]) -> str:
    [line] = lines
    return str(line["run_id"])
