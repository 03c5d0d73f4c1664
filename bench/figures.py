"""Figures measured in replications, each with its standard error. Must not know what they are figures of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from releases.domain.judge.samples import Bools, Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, its standard error, and how many replications it is from."""

    value: float
    error: float
    replications: int


def share(seen: Bools) -> Measured:
    """How often, with the binomial standard error; where it was never or always, that of half a case."""
    count = len(seen)
    value = float(seen.mean())
    kept = min(max(value, 0.5 / count), 1 - 0.5 / count)
    return Measured(value, float(np.sqrt(kept * (1 - kept) / count)), count)


def median(found: Floats) -> Measured:
    """The median; its standard error is half the distance of the order statistics sqrt(n)/2 ranks below and
    above it."""
    ordered, count = np.sort(found), len(found)
    half = np.sqrt(count) / 2
    low = ordered[max(0, int(np.floor(count / 2 - half)))]
    high = ordered[min(count - 1, int(np.ceil(count / 2 + half)))]
    return Measured(float(np.median(ordered)), float(high - low) / 2 if np.isfinite(high) else np.inf, count)


def mean(found: Floats, over: float = 1.0) -> Measured:
    """The mean in units of `over`."""
    error = found.std(ddof=1) / np.sqrt(len(found)) if np.isfinite(found).all() else np.inf
    return Measured(float(found.mean() / over), float(error / over), len(found))
