"""Replay: recorded samples through the judge, until it decides.

A recording is JSON Lines, one sample a line, of what happened since the line before::

    {"t": 1.0, "stable": ARM, "candidate": ARM}
    ARM = {"requests": n, "errors": n, "latency_ms": {"le": [...], "counts": [...]}, "predictions": [...]}

`latency_ms` (one count more than bounds) and `predictions` may be left out; null stands for an arm that
could not be read. `t` are seconds and rise; the first sample is as long as the second.

Pure: knows neither files nor the database.
"""

from releases.domain.replay.lock_step import DECISIVE, Ending, LockStep, follow, replay
from releases.domain.replay.recording import BadRecording, Recorded, read_recording, write_line
from releases.domain.replay.report import page, to_json

__all__ = [
    "DECISIVE",
    "BadRecording",
    "Ending",
    "LockStep",
    "Recorded",
    "follow",
    "page",
    "read_recording",
    "replay",
    "to_json",
    "write_line",
]
