"""How many replicas of a model there may be, and what makes them more or fewer.

A value that is valid from its construction on: the limits are those of Kubernetes' autoscaling/v2, so that
what can be constructed is what an API server accepts. Pure; the defaults are what a model gets that nobody
has thought about.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from releases.domain.errors import refuse
from releases.domain.kubernetes_syntax import label_value_problem

MOST_REPLICAS = 1_000
# field -> lowest, highest, unit. Windows and periods: the limits of autoscaling/v2.
LIMITS: Mapping[str, tuple[int, int, str]] = {
    "min_replicas": (1, MOST_REPLICAS, ""),
    "max_replicas": (1, MOST_REPLICAS, ""),
    "cpu_percent": (1, 1_000, " %"),
    "requests_per_second": (1, 1_000_000, ""),
    "queue_depth": (1, 1_000_000_000, ""),
    "scale_down_window_seconds": (0, 3_600, " s"),
    "scale_down_percent": (1, 100, " %"),
    "scale_down_period_seconds": (1, 1_800, " s"),
    "scale_up_window_seconds": (0, 3_600, " s"),
    "scale_up_percent": (1, 1_000, " %"),
    "scale_up_pods": (1, MOST_REPLICAS, ""),
    "scale_up_period_seconds": (1, 1_800, " s"),
}


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """A HorizontalPodAutoscaler in plain words; percent, counts and seconds. `None` leaves a metric out, and
    at least one stays. `cpu_percent` is of what a container requests, so it may be more than 100. Raises
    `Invalid` naming the fields."""

    min_replicas: int = 2
    max_replicas: int = 20
    cpu_percent: int | None = 70
    requests_per_second: int | None = 100
    queue: str = "model-predictions"
    queue_depth: int | None = 50
    scale_down_window_seconds: int = 300
    scale_down_percent: int = 50
    scale_down_period_seconds: int = 60
    scale_up_window_seconds: int = 0
    scale_up_percent: int = 100
    scale_up_pods: int = 4
    scale_up_period_seconds: int = 30

    def __post_init__(self) -> None:
        refuse(_problems(self))
        if self.queue_depth is None:  # a queue that does not count has no name, so that equal means equal
            object.__setattr__(self, "queue", "")

    @property
    def metrics(self) -> list[str]:
        """What there may not be more of, in words: "CPU 70 %", "100 requests/s"."""
        return [
            *([f"CPU {self.cpu_percent} %"] if self.cpu_percent else []),
            *([f"{self.requests_per_second} requests/s"] if self.requests_per_second else []),
            *([f"queue {self.queue} {self.queue_depth}"] if self.queue_depth else []),
        ]

    def describe(self) -> str:
        """In words: "2 to 20 replicas by CPU 70 %, 100 requests/s and queue model-predictions 50"."""
        *others, last = self.metrics
        by = f"{', '.join(others)} and {last}" if others else last
        return f"{self.min_replicas} to {self.max_replicas} replicas by {by}"


def _problems(wanted: Autoscaling) -> dict[str, str]:
    """Field -> what is wrong with its value."""
    found: dict[str, str] = {}
    for name, (low, high, unit) in LIMITS.items():
        value = getattr(wanted, name)
        if value is not None and not low <= value <= high:
            found[name] = f"has to be from {low} to {high}{unit}, not {value}"
    if "max_replicas" not in found and wanted.max_replicas < wanted.min_replicas:
        found["max_replicas"] = f"has to be at least the {wanted.min_replicas} that there always are"
    if wanted.queue_depth is not None:
        if not wanted.queue:
            found["queue"] = "has to name the queue whose depth counts"
        elif wrong := label_value_problem(wanted.queue):
            found["queue"] = f"is the value of a label: {wrong}"
    if wanted.cpu_percent is None and wanted.requests_per_second is None and wanted.queue_depth is None:
        found["cpu_percent"] = "at least one of CPU, requests and queue has to say when there are too few"
    return found
