"""Single questions to models through the gateway, and what the model servers count while they answer.

Knows the inference protocol, the header by which the gateway tells who answered, and where a model server's
files lie; must not know what is being released.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from mlops_portal.demo.portal import Ci
from mlops_portal.demo.traffic import DEPLOYMENT, version_in


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: its numbers (none when it was refused), who gave it, and what it said."""

    status: int
    numbers: tuple[float, ...]
    deployment: str
    text: str

    @property
    def version(self) -> str:
        """The semantic version that answered."""
        return version_in(self.deployment)


def ask(ci: Ci, environment: str, model: str, body: Mapping[str, Any]) -> Said:
    """Ask a model at its endpoint, with the headers that the portal tells."""
    endpoint = ci.get(f"endpoints/{environment}/{model}/")
    answer = httpx.post(
        endpoint["url"] + "/infer", json=body, headers=endpoint["headers"], timeout=30, trust_env=False
    )
    numbers: tuple[float, ...] = ()
    text = answer.text
    if answer.is_success:
        numbers = tuple(answer.json()["outputs"][0]["data"])
    else:
        text = str(_said(answer))
    return Said(answer.status_code, numbers, answer.headers.get(DEPLOYMENT, ""), text)


def _said(answer: httpx.Response) -> object:
    try:
        return answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def question(columns: Mapping[str, float], **parameters: str) -> dict[str, Any]:
    """A request of one row with these parameters."""
    inputs = [
        {
            "name": name,
            "datatype": "INT64" if isinstance(value, int) else "FP64",
            "shape": [1, 1],
            "data": [value],
        }
        for name, value in columns.items()
    ]
    return {"parameters": {"content_type": "pd", **parameters}, "inputs": inputs}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the local target wrote about a deployment below `var/models`."""

    folder: Path

    @property
    def artifact(self) -> Path:
        """Where the model lies."""
        settings = json.loads((self.folder / "model-settings.json").read_text())
        return Path(settings["parameters"]["uri"])

    def counters(self) -> dict[str, float]:
        """The model server's counters by name, with labels as `name{value of the label}`."""
        port = json.loads((self.folder / "settings.json").read_text())["metrics_port"]
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, trust_env=False)
        return counters_in(page.text)


def counters_in(page: str) -> dict[str, float]:
    """The samples of a page in Prometheus' text format that begin with `model_`."""
    return {
        sample.name + (f"{{{','.join(sample.labels.values())}}}" if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("model_")
    }
