"""Which TCP ports the stack listens on: wanted, checked before anything starts, or found."""

import contextlib
import json
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_portal.stack.errors import PortTaken, StackError

DEFAULTS = {"PORTAL_PORT": 8000, "GATEWAY_PORT": 8080, "MLFLOW_PORT": 5000, "MODEL_REDIS_PORT": 6390}
# Below the ports that the kernel hands to outgoing connections, above those of the model servers:
# a port that was free stays free while its program restarts.
AUTOMATIC = range(22000, 32000)
# Stacks side by side, each with ports of its own, must not share those of their model servers either.
MODEL_BLOCKS = [range(first, first + 100) for first in range(10000, 21000, 100)]


@dataclass(frozen=True)
class PortWish:
    """What the environment says: a number, or None for any free port."""

    setting: str
    number: int | None


def wishes(environment: Mapping[str, str], settings: list[str]) -> list[PortWish]:
    """The wanted ports; `PORTS=auto` leaves those that are not named to us."""
    everything = environment.get("PORTS", "")
    if everything not in ("", "auto"):
        raise StackError(f"PORTS is {everything!r}; the only value it may have is auto.")
    found = []
    for setting in settings:
        default = "auto" if everything else str(DEFAULTS[setting])
        found.append(PortWish(setting, parsed(setting, environment.get(setting) or default)))
    return found


def parsed(setting: str, text: str) -> int | None:
    """A port number, or None for `auto`."""
    if text == "auto":
        return None
    if text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise StackError(f"{setting} is {text!r}; write a number from 1 to 65535, or auto.")


def choose(wanted: list[PortWish], address: str, remembered: Path) -> dict[str, int]:
    """A port for each setting. Raises PortTaken for a named one that is not free.

    Ports found for `auto` are kept in the file `remembered` and taken again when they are free.
    """
    for wish in wanted:
        if wish.number is not None and not is_free(address, wish.number):
            raise PortTaken(
                f"port {wish.number} is taken; set {wish.setting}=… to another port, "
                f"or PORTS=auto to have free ones chosen"
            )
    chosen = {wish.setting: wish.number for wish in wanted if wish.number is not None}
    if len(set(chosen.values())) < len(chosen):
        raise PortTaken("the same port is wanted twice: " + ", ".join(f"{k}={v}" for k, v in chosen.items()))
    before = read(remembered)
    for wish in wanted:
        if wish.number is None:
            chosen[wish.setting] = automatic(address, before.get(wish.setting), set(chosen.values()))
    remembered.write_text(json.dumps(chosen, indent=2) + "\n")
    return chosen


def read(remembered: Path) -> dict[str, int]:
    """The ports of the last start; a damaged file counts as none."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(remembered.read_text())
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if isinstance(value, int)}
    return {}


def automatic(address: str, last: int | None, taken: set[int]) -> int:
    """The port of the last start if it is free, otherwise a free one by chance."""
    if last is not None and last not in taken and is_free(address, last):
        return last
    for candidate in random.sample(AUTOMATIC, 200):
        if candidate not in taken and is_free(address, candidate):
            return candidate
    raise PortTaken(f"no free port found between {AUTOMATIC.start} and {AUTOMATIC.stop - 1}")


def model_ports(gateway: int) -> str | None:
    """The range for the model servers of a stack with an automatic gateway port; None: the default."""
    if gateway not in AUTOMATIC:
        return None
    block = MODEL_BLOCKS[AUTOMATIC.index(gateway) % len(MODEL_BLOCKS)]
    return f"{block.start}-{block.stop - 1}"


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
