"""How long a release will take at the present traffic, and how soon a regression would be seen.

Paths are simulated through the judge's own arithmetic with a fixed seed. `forecast` speaks of a plan
before it starts, `paths_ahead` of a release that runs, from the evidence it has. Pure: numpy only, no
clock, no Django.
"""

from releases.domain.forecast.ahead import PathsAhead, forecast_ahead, paths_ahead, traffic_now
from releases.domain.forecast.answer import (
    Forecast,
    ForecastKind,
    Proposal,
    Regression,
    Spread,
    Traffic,
)
from releases.domain.forecast.before import forecast
from releases.domain.forecast.course import Course, course_ahead
from releases.domain.forecast.words import headline

__all__ = [
    "Course",
    "Forecast",
    "ForecastKind",
    "PathsAhead",
    "Proposal",
    "Regression",
    "Spread",
    "Traffic",
    "course_ahead",
    "forecast",
    "forecast_ahead",
    "headline",
    "paths_ahead",
    "traffic_now",
]
