"""Calls models by HTTP as a client would, for the smoke test.

Knows the Open Inference Protocol V2 and nothing of routes or releases.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from releases.ports import Answer, Unreachable


class HttpGateway:
    """Port `ModelGateway`."""

    def infer(
        self, url: str, request: Mapping[str, Any], headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """POST to `<url>/infer`. Any HTTP answer is an answer; a body that is no JSON object is None.

        `timeout` is that of connecting and of every pause in the answer.
        """
        began = time.monotonic()
        try:
            # The portal calls its own gateway: no proxy of the environment comes between.
            with httpx.Client(timeout=timeout, trust_env=False) as client:
                response = client.post(f"{url}/infer", json=request, headers=dict(headers))
        except httpx.TimeoutException as error:
            raise Unreachable(f"no answer from {url} within {timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"no answer from {url}: {error}") from error
        return Answer(response.status_code, _object(response.content), time.monotonic() - began)


def _object(content: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
