"""Is it as good as stable? Offline metrics of both, within the environment's tolerance."""

import re
from typing import Any

from releases.services.checks import Outcome, Result, failed, passed, skipped
from releases.services.validate.subject import Subject

# What metrics are called (without "test_", "val_" and the like), and which way is better.
LARGER_IS_BETTER = frozenset(
    {"accuracy", "balanced_accuracy", "f1", "auc", "roc_auc", "pr_auc", "average_precision", "precision"}
    | {"recall", "r2", "explained_variance", "ndcg", "map", "mrr", "iou"}
)
SMALLER_IS_BETTER = frozenset(
    {"loss", "log_loss", "error", "error_rate", "rmse", "mae", "mse", "mape", "smape", "medae", "brier"}
    | {"brier_loss", "cross_entropy", "mean_squared_error", "mean_absolute_error", "root_mean_squared_error"}
)
_PREFIXES = re.compile(r"^(test|val|valid|validation|eval|evaluation|holdout|cv)_+")
_SUFFIXES = re.compile(r"_+(score|macro|micro|weighted|mean|test|val)$")
_ROUNDING = 1e-9


def metrics(subject: Subject) -> Result:
    """Every metric of stable that is known and measured for both is not worse than the tolerance allows."""
    stable = subject.release.stable
    if stable is None:
        return skipped("no stable version to compare with")
    if stable.pk == subject.version.pk:
        return skipped("this is the stable version")
    tolerance = subject.release.endpoint.environment.metric_tolerance
    own = subject.found().metrics
    rows = [
        compare_metric(name, value, own.get(name), tolerance)
        for name, value in sorted(stable.metrics.items())
    ]
    detail = {"compared_with": stable.version, "tolerance": tolerance, "metrics": rows}
    judged = [row for row in rows if row["outcome"] != Outcome.SKIPPED]
    worse = [row for row in judged if row["outcome"] == Outcome.FAIL]
    if worse:
        words = ", ".join(f"{row['name']} {row['candidate']:.4g}, was {row['stable']:.4g}" for row in worse)
        return failed(f"{words}: worse than {stable.version} by more than {100 * tolerance:g} %", **detail)
    if not judged:
        return skipped(f"no metric of {stable.version} can be compared", **detail)
    names = ", ".join(str(row["name"]) for row in judged)
    return passed(f"{names} within {100 * tolerance:g} % of {stable.version} or better", **detail)


def compare_metric(name: str, stable: float, candidate: float | None, tolerance: float) -> dict[str, Any]:
    """One metric as a row; `change` is relative to stable's value, None where that is 0."""
    row: dict[str, Any] = {"name": name, "stable": stable, "candidate": candidate, "tolerance": tolerance}
    larger = is_larger_better(name)
    if candidate is None or larger is None:
        reason = "not measured for this version" if candidate is None else "no telling which way is better"
        return {**row, "change": None, "outcome": Outcome.SKIPPED.value, "reason": reason}
    change = candidate - stable
    loss = -change if larger else change
    is_worse = loss > tolerance * abs(stable) + _ROUNDING
    outcome = Outcome.FAIL if is_worse else Outcome.PASS
    return {**row, "change": change / abs(stable) if stable else None, "outcome": outcome.value}


def is_larger_better(name: str) -> bool | None:
    """Which way a metric is better, by its name; None for names that are not known."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    plain = _PREFIXES.sub("", plain)
    for candidate in (plain, _SUFFIXES.sub("", plain)):
        if candidate in LARGER_IS_BETTER:
            return True
        if candidate in SMALLER_IS_BETTER:
            return False
    return None
