"""How many replicas of a model there may be, and what makes them more or fewer. Values only.

The defaults are what a model gets that nobody has thought about; `None` leaves a metric out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """A HorizontalPodAutoscaler in plain words; percent, counts and seconds."""

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
