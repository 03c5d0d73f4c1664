"""Counters on the metrics endpoint of the model server, one of each name in a process.

MLServer loads a model again without a new process: the counts go on. Knows no model.
"""

from functools import cache

from prometheus_client import Counter


@cache
def counter(name: str, documentation: str, labels: tuple[str, ...] = ()) -> Counter:
    """The counter of this name, with `_total` at its end; made when it is first asked for."""
    return Counter(name, documentation, labels)


def member_failures() -> Counter:
    """By member: it raised, or its answer could not be used. Counted also when a quorum answered."""
    return counter("model_member_failures_total", "Answers that a member of a model owed", ("member",))
