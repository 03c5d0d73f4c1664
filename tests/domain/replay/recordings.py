"""Recordings for tests: lines of a stable arm that is well and a candidate that is as wanted."""

import json
from typing import Any

import numpy as np

BOUNDS = (5.0, 10.0, 20.0, 50.0)


def arm(requests: int, errors: int = 0, **more: Any) -> dict[str, Any]:
    return {"requests": requests, "errors": errors, **more}


def line(t: float, stable: Any, candidate: Any) -> str:
    return json.dumps({"t": t, "stable": stable, "candidate": candidate})


def steady(seconds: int, failing: float = 0.0, requests: int = 20, seed: int = 5) -> list[str]:
    """A line a second: latencies and predictions as well, the candidate fails so often."""
    chance = np.random.default_rng(seed)

    def of(share: float) -> dict[str, Any]:
        spread = chance.multinomial(requests, [0.2, 0.4, 0.25, 0.1, 0.05])
        answers = chance.multinomial(requests, [0.6, 0.3, 0.1])
        return arm(
            requests,
            int(chance.binomial(requests, share)),
            latency_ms={"le": list(BOUNDS), "counts": spread.tolist()},
            predictions=answers.tolist(),
        )

    return [line(t, of(0.002), of(failing)) for t in range(1, seconds + 1)]
