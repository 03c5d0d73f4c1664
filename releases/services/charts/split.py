"""The decided split of traffic, as steps."""

from collections.abc import Sequence

import numpy as np

from releases.models import Transition
from releases.services.charts.frame import Figure, line_of


def split_figure(transitions: Sequence[Transition], window: tuple[float, float], until: float) -> Figure:
    """The decided split as steps."""
    at, shares = [window[0]], [0]
    for line in transitions:
        moment = line.at.timestamp()
        if moment <= window[0]:
            shares[0] = line.split_candidate
        elif line.split_candidate != shares[-1]:
            at.append(moment)
            shares.append(line.split_candidate)
    at.append(max(until, at[-1]))
    shares.append(shares[-1])
    candidate = np.array(shares, dtype=np.float64)
    return {
        "kind": "stack",
        "y": {"unit": "%", "title": "share of requests", "range": [0, 100]},
        "series": [
            line_of("stable", "stable", np.array(at), 100 - candidate),
            line_of("candidate", "candidate", np.array(at), candidate),
        ],
    }
