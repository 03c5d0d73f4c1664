"""What keeps pods from being ready, as a sentence. Pure.

Only what starting again cannot cure is final: a container that has ended several times, an image whose name
is no name. A node may come, a registry may answer, a secret may be made.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from releases.adapters import seldon_objects as seldon
from releases.adapters.seldon_objects import Read
from releases.adapters.target.last_words import telling_line

CRASHES = 3  # so often a container may end before its version counts as failed
NEVER = {"InvalidImageName"}
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and whether there is no hope."""

    said: str
    is_final: bool = False


def worst(pods: Iterable[Read]) -> Trouble | None:
    """The final one if there is any, or else the first; None when the pods are only on their way."""
    found = [trouble for pod in pods for trouble in _of_pod(pod)]
    return next((trouble for trouble in found if trouble.is_final), found[0] if found else None)


def _of_pod(pod: Read) -> list[Trouble]:
    told = pod.get("status") or {}
    for condition in told.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return [Trouble(_cut(f"no node takes its pod: {condition.get('message') or 'no reason given'}"))]
    statuses = [*(told.get("initContainerStatuses") or []), *(told.get("containerStatuses") or [])]
    return [trouble for one in statuses if (trouble := _of_container(seldon.name(pod), one))]


def _of_container(pod: str, told: Read) -> Trouble | None:
    state = told.get("state") or {}
    waiting = state.get("waiting") or {}
    ended = state.get("terminated") or (told.get("lastState") or {}).get("terminated") or {}
    restarts, which = int(told.get("restartCount") or 0), f"the container {told.get('name')} of {pod}"
    if ended and ended.get("exitCode") != 0 and (restarts or state.get("terminated")):
        times = "once" if restarts <= 1 else f"{restarts} times"
        said = f"{which} ended {times}, last with exit code {ended.get('exitCode')}: {_reason(ended)}"
        return Trouble(_cut(said), is_final=restarts >= CRASHES)
    reason = waiting.get("reason") or ""
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return None
    said = f"{which} cannot start: {reason}" + (f": {waiting['message']}" if waiting.get("message") else "")
    return Trouble(_cut(said), is_final=reason in NEVER or restarts >= CRASHES)


def _reason(ended: Read) -> str:
    """The line of its last words that says why, or else what Kubernetes calls it."""
    words = str(ended.get("message") or "").splitlines()
    last = next((line.strip() for line in reversed(words) if line.strip()), "")
    reason = str(ended.get("reason") or "no reason given")
    if reason == "OOMKilled":
        return "OOMKilled, it needs more memory than its limit"
    return telling_line(words) or telling_line([f"error: {last}"] if last else []) or reason


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
