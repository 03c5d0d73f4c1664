"""Makes the versions of the story: registers what was trained, composes from `pipelines/specs`.

What is registered already is not made again, so a story that was broken off goes on. Members are registered
by the story, as a person would; composed models by `python -m serving compose`, as CI would.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlops_portal.demo.display import Teller
from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.portal import Ci, Document, Problem
from mlops_portal.demo_serving.trainings import WIDER, Trainings
from mlops_portal.demo_serving.workshop import Workshop
from mlops_portal.stack.layout import PROJECT

SPECS = PROJECT / "pipelines" / "specs"
MEMBERS = ("forest", "trees", "network")


class Making:
    """Registers and composes; `token` is that of CI."""

    def __init__(self, ci: Ci, token: str, workshop: Workshop, teller: Teller, trained: Trainings) -> None:
        self._ci, self._workshop, self._teller = ci, workshop, teller
        self._access = {"PORTAL_TOKEN": token, "PORTAL_TENANT": ci.tenant}
        self.trained = trained

    def members(self) -> None:
        """Register the three members, and the forest once more as the first version of the model itself."""
        runs = self.trained.members.result()
        for kind in MEMBERS:
            self._register(f"tumour-{kind}", "1.0.0", "major", runs.get(kind, ""), f"the {kind} alone")
        self._register("tumour", "1.0.0", "major", runs.get("forest", ""), "one forest")

    def wider_network(self) -> None:
        """Register the next version of one member."""
        run_id = self.trained.members.result().get(WIDER, "")
        self._register("tumour-network", "1.1.0", "minor", run_id, "a wider and deeper neural net")

    def regression(self) -> None:
        """Register the model that the features are for."""
        self._register(
            "spending-regression", "1.0.0", "major", self.trained.spending.result(), "by three features"
        )

    def compose(self, wanted: Mapping[str, str], network: str = "1.0.0") -> None:
        """Compose specs by name, each with the version it will be; `network` is that member's version."""
        files = [
            self._spec(name, network) for name, version in wanted.items() if not self._made(name, version)
        ]
        if not files:
            return
        name = f"compose-{'-'.join(wanted)}-{network}"
        for done in self._workshop.run(name, "serving", "compose", *map(str, files), **self._access):
            self._teller.line("compose", f"{done['model']} {done['version']} composed and registered")
            self._expect_version(done["model"], done["version"], wanted)

    def _made(self, name: str, version: str) -> bool:
        return has_version(self._ci, spec(name)["model"], version)

    def _expect_version(self, model: str, version: str, wanted: Mapping[str, str]) -> None:
        expected = next(number for name, number in wanted.items() if spec(name)["model"] == model)
        if version != expected:
            raise StoryFailed(
                f"the registry made it {model} {version}, the story needs {expected}: somebody else has "
                f"registered versions; `make demo-serving FRESH=1` begins with an empty state"
            )

    def _spec(self, name: str, network: str) -> Path:
        """The spec, with the network pinned to this version, as a person would edit it."""
        content = spec(name)
        if "network" in content["core"]["members"]:
            content["core"]["members"]["network"]["version"] = network
        folder = self._workshop.layout.var / "demo-specs"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}-{network}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def _register(self, model: str, version: str, change: str, run_id: str, description: str) -> None:
        if has_version(self._ci, model, version):
            return
        try:
            self._ci.get(f"models/{model}/")
        except Problem as problem:
            if problem.status != 404:
                raise
            self._ci.post("models/", {"name": model, "description": description})
        made: Document = self._ci.register(model, run_id, change, description)
        self._teller.line("registry", f"{model} {made['version']} registered: {description}")
        if made["version"] != version:
            raise StoryFailed(
                f"the registry made it {model} {made['version']}, the story needs {version}; "
                f"`make demo-serving FRESH=1` begins with an empty state"
            )


def spec(name: str) -> dict[str, Any]:
    """A spec by its name."""
    content: dict[str, Any] = yaml.safe_load((SPECS / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def has_version(ci: Ci, model: str, version: str) -> bool:
    """Whether the version is registered; no if the model is not even known."""
    try:
        return version in ci.versions(model)
    except Problem as problem:
        if problem.status != 404:
            raise
        return False
