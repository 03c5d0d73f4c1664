"""Seldon Core's validating webhook, as far as the portal can meet it: rules and an https server for them.

The rules are those of `seldondeployment_webhook.go` (1.17.1) with its sentences to the letter. The API
server is told of it by URL, with the certificate that the server made for itself.
"""

import base64
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from releases.adapters.kubernetes_api import Manifest
from tests.cluster.certificates import https_server

NAME = "v1.vseldondeployment.kb.io"
PATH = "/validate-machinelearning-seldon-io-v1-seldondeployment"
PREPACKAGED = {"MLFLOW_SERVER", "SKLEARN_SERVER", "XGBOOST_SERVER"}


def causes(spec: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with the spec of a SeldonDeployment: (field, bad value, sentence)."""
    predictors = spec.get("predictors") or []
    found: list[tuple[str, str, str]] = []
    if spec.get("protocol", "") not in ("", "seldon", "tensorflow", "kfserving", "v2"):
        found.append(("spec", spec["protocol"], "Invalid protocol"))
    if len(predictors) == 1 and predictors[0].get("shadow"):
        name = predictors[0]["name"]
        found.append(("spec.predictors[0]", name, "Shadow can not exist as only predictor"))
    if not predictors:
        found.append(("spec", "", "Graph contains no predictors"))
    seen: set[str] = set()
    for number, predictor in enumerate(predictors):
        at, name, graph = f"spec.predictors[{number}]", predictor["name"], predictor["graph"]
        if name in seen:
            found.append((at, name, "Duplicate predictor name"))
        seen.add(name)
        if graph.get("implementation") in PREPACKAGED and not graph.get("modelUri"):
            said = "Predictive unit modelUri required when using standalone servers"
            found.append((f"{at}.graph", graph["name"], said))
    return found + _traffic(predictors)


def _traffic(predictors: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    found, total, shadows = [], 0, 0
    for predictor in predictors:
        traffic = predictor.get("traffic", 0)
        if not predictor.get("shadow"):
            total += traffic
            continue
        shadows += 1
        if shadows > 1:
            found.append(("spec", predictor["name"], "Multiple shadows are not allowed"))
        if not 0 <= traffic <= 100:
            said = "shadow traffic is illegal, the traffic number should be between [0, 100]"
            found.append(("spec", predictor["name"], said))
    if total != 100 and len(predictors) - shadows > 1:
        said = "Traffic must sum to 100 for multiple predictors"
        found.append(("spec", predictors[0]["name"], said))
    if 0 < total < 100 and len(predictors) == 1:
        said = "Traffic must sum be 100 for a single predictor when set"
        found.append(("spec", predictors[0]["name"], said))
    return found


def review(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an AdmissionReview."""
    request = asked["request"]
    spec = request["object"]["spec"]
    wrong = causes(spec)
    response: dict[str, Any] = {"uid": request["uid"], "allowed": not wrong}
    if wrong:
        said = [f'{field}: Invalid value: "{value}": {sentence}' for field, value, sentence in wrong]
        every = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
        name = spec.get("name", "")
        response["status"] = {
            "status": "Failure",
            "code": 422,
            "reason": "Invalid",
            "message": f'SeldonDeployment.machinelearing.seldon.io "{name}" is invalid: {every}',
            "details": {
                "group": "machinelearing.seldon.io",  # spelt so
                "kind": "SeldonDeployment",
                "name": name,
                "causes": [
                    {
                        "reason": "FieldValueInvalid",
                        "field": field,
                        "message": f'Invalid value: "{value}": {sentence}',
                    }
                    for field, value, sentence in wrong
                ],
            },
        }
    return {"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": response}


class SeldonWebhook:
    """Serves `review` over https on loopback."""

    def __init__(self) -> None:
        self._server, self._certificate = https_server(_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="seldon-webhook", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def configuration(self) -> Manifest:
        """How the API server is told."""
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "seldon-validating-webhook-configuration-stand-in"},
            "webhooks": [
                {
                    "name": NAME,
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "clientConfig": {
                        "url": f"https://127.0.0.1:{self._server.server_port}{PATH}",
                        "caBundle": base64.b64encode(self._certificate).decode(),
                    },
                    "rules": [
                        {
                            "apiGroups": ["machinelearning.seldon.io"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["seldondeployments"],
                        }
                    ],
                }
            ],
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(review(asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""
