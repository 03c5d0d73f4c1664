"""How far stable's counts scatter beyond what independent requests would give, learned as it goes.

Requests are taken as independent. Where they come in bursts (a process that stalls, a retry storm),
evidence would grow too fast. Stable is compared with itself: two adjacent samples at a time, the excess
of (e_1 - E n_1/N)^2 over its hypergeometric variance is the Pearson dispersion phi, and what the candidate
is charged with is raised to the power 1/phi. For phi >= 1 that keeps the expectation at most 1 (Jensen),
and phi is taken from earlier samples only. Adjacent samples: a rate that moves slowly does not count.

Slots: held (0 or 1), requests held, counts held (one per threshold), sum of the squared differences,
sum of their variances, sum of the squares of these.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.samples import Bools, Floats

LARGEST = 10.0
FADES = 1 - 1 / 150
"""What a pair leaves of those before it: an incident that both arms shared is forgotten in some minutes."""
DOUBT = 1.0
"""Standard errors by which an estimate is lowered: what independent requests give by chance is 1."""


def dispersion(state: Floats, part: slice) -> Floats:
    """phi, from 1 to LARGEST; 1 as long as nothing is certain; (R,)."""
    excess, expected, squares = state[:, part.stop - 3 : part.stop].T
    some = squares > 0
    pairs = np.where(some, expected**2 / np.where(some, squares, 1.0), 1.0)
    phi = np.where(some, excess / np.where(some, expected, 1.0), 1.0)
    result: Floats = np.clip(phi / (1 + DOUBT * np.sqrt(2 / pairs)), 1.0, LARGEST)
    return result


def fold_scatter(after: Floats, part: slice, requests: Floats, counts: Floats, told: Bools) -> None:
    """Take one sample of stable, (R,) requests and (R, K) counts, where it is `told` and not empty."""
    slots = after[:, part].copy()
    width = counts.shape[1]
    told = told & (requests > 0)
    held, before, earlier = slots[:, 0] > 0, slots[:, 1], slots[:, 2 : 2 + width]
    total = np.maximum(before + requests, 2.0)
    both = earlier + counts
    variance = (before * requests / (total**2 * (total - 1)))[:, None] * both * (total[:, None] - both)
    squared = (earlier - both * (before / total)[:, None]) ** 2
    paired = (told & held)[:, None]
    spread = np.where(paired, variance, 0.0).sum(axis=1)
    kept = np.where(paired[:, 0], FADES, 1.0)
    slots[:, 2 + width] = kept * slots[:, 2 + width] + np.where(paired, squared, 0.0).sum(axis=1)
    slots[:, 3 + width] = kept * slots[:, 3 + width] + spread
    slots[:, 4 + width] = kept**2 * slots[:, 4 + width] + spread**2
    keep = told & ~held
    slots[:, 0] = np.where(told, ~held, held)
    slots[:, 1] = np.where(keep, requests, np.where(told, 0.0, before))
    slots[:, 2 : 2 + width] = np.where(keep[:, None], counts, np.where(told[:, None], 0.0, earlier))
    after[:, part] = slots
