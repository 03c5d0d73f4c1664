"""The cores of composed models: an ensemble, a router, a single member.

A core asks its members and answers as one model. Members were loaded before; where from is no matter
here. Nothing of the registry, nothing of blocks.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel

from serving import combining
from serving.answers import note_incomplete_answer
from serving.blocks import Predictor
from serving.composition import Core, Rules, Shape
from serving.counters import member_failures
from serving.errors import MemberFailed, RequestRefused

TIER = "customer_tier"
"""The request parameter by which a router chooses."""


class LoadedMember:
    """A member in memory. It gets those parameters of a request that its own signature knows."""

    def __init__(self, name: str, model: PyFuncModel) -> None:
        self.name = name
        self._model = model
        signature = model.metadata.signature
        known = signature.params.params if signature and signature.params else []
        self._known = frozenset(parameter.name for parameter in known)
        member_failures().labels(name)  # its series is there, at zero, before anything fails

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """As the member alone would answer."""
        known = {name: value for name, value in params.items() if name in self._known}
        # Members run side by side: what one writes into its input must not be seen by another.
        return self._model.predict(frame.copy(), params=known or None)


class Ensemble:
    """All members answer, in parallel threads; their answers become one."""

    def __init__(self, core: Core, members: Sequence[Predictor], workers: int) -> None:
        """`members` in the order of the core; `workers` of them may run at the same time."""
        if len(members) != len(core.members):
            raise ValueError(f"{len(members)} members were loaded for {len(core.members)} of the core")
        if core.answer is None or core.combine is None:
            raise ValueError("an ensemble needs `combine` and the shape of its answer")
        self._names = [member.name for member in core.members]
        self._weights = [1.0 if member.weight is None else member.weight for member in core.members]
        self._members = list(members)
        self._shape: Shape = core.answer
        self._combine = core.combine
        self._least = len(members) if core.at_least is None else core.at_least
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="member")

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """Double-precision numbers, or labels, in the shape in which the members answer.

        Raises `MemberFailed`, naming members, when fewer than the quorum can be used, or when those that
        can have no weight."""
        running = [self._pool.submit(member.predict, frame, params) for member in self._members]
        usable: list[np.ndarray] = []
        weights: list[float] = []
        failures: list[tuple[str, Exception]] = []
        for name, weight, future in zip(self._names, self._weights, running, strict=True):
            try:
                usable.append(self._usable(future, len(frame)))
                weights.append(weight)
            except RequestRefused:
                raise  # the caller's mistake, not this member's
            except Exception as error:  # whatever foreign code raises is that member's failure
                member_failures().labels(name).inc()
                failures.append((name, error))
        if failures and (len(usable) < self._least or not any(weights)):
            raise MemberFailed(self._told(failures, len(usable))) from failures[0][1]
        if failures:
            note_incomplete_answer()  # a cache must not keep it
        combine = combining.weighted_vote if self._combine == "vote" else combining.weighted_mean
        return combining.as_answer(combine(usable, weights), self._shape)

    def _usable(self, future: "Future[Any]", rows: int) -> np.ndarray:
        array = combining.values(future.result(), self._shape, rows)
        if self._combine != "vote":
            combining.check_numbers(array)
        return array

    def _told(self, failures: Sequence[tuple[str, Exception]], usable: int) -> str:
        told = "; ".join(f"member {name} {_in_words(error)}" for name, error in failures)
        if self._least < len(self._members):
            told += f" ({usable} of {len(self._members)} members answered, {self._least} have to)"
        return told


class Router:
    """One member answers, chosen by the tier of the caller or by the number of rows."""

    def __init__(self, rules: Rules, members: Mapping[str, Predictor]) -> None:
        self._rules = rules
        self._members = dict(members)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """What the chosen member answers, in double precision. Raises `MemberFailed`."""
        name = choose(self._rules, params.get(TIER), len(frame))
        return _asked(name, self._members[name], frame, params)


class Single:
    """One member, as it is: something for blocks to stand round."""

    def __init__(self, name: str, member: Predictor) -> None:
        self._name = name
        self._member = member

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """What the member answers, in double precision. Raises `MemberFailed`."""
        return _asked(self._name, self._member, frame, params)


def choose(rules: Rules, tier: str | None, rows: int) -> str:
    """The name of the member that answers. An empty tier is no tier."""
    if tier:
        return rules.tiers.get(tier, rules.other)
    return rules.small if rows < rules.fewer_rows_than else rules.large


def core_of(core: Core, members: Mapping[str, Predictor]) -> Predictor:
    """The core with its members, by name."""
    if core.kind == "ensemble":
        return Ensemble(core, [members[each.name] for each in core.members], workers=len(members))
    if core.kind == "router":
        if core.rules is None:
            raise ValueError("a router needs rules")
        return Router(core.rules, members)
    if core.kind == "single":
        [name] = members
        return Single(name, members[name])
    raise ValueError(f"there is no core of the kind {core.kind!r}")


def _asked(name: str, member: Predictor, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
    try:
        return combining.widened(member.predict(frame, params))
    except RequestRefused:
        raise
    except Exception as error:
        member_failures().labels(name).inc()
        raise MemberFailed(f"member {name} {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    if isinstance(error, combining.Unusable):
        return str(error)
    return f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"
