"""Where callers find a model, and how its traffic is split. Values only; knows no vendor."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from releases.domain.plan import TrafficSplit
from releases.domain.traffic import ServiceMatch


@dataclass(frozen=True, slots=True)
class Arm:
    """One version that may receive traffic: its deployment's ref and address (host:port)."""

    ref: str
    address: str


@dataclass(frozen=True, slots=True)
class Route:
    """The public place of a model: tenant x environment x model."""

    tenant: str
    environment: str
    model: str

    @property
    def name(self) -> str:
        """Unique among all routes."""
        return f"{self.tenant}/{self.environment}/{self.model}"


@dataclass(frozen=True, slots=True)
class RouteSetting:
    """All that is in effect on a route; absolute. Without `stable`, `candidate` gets split.candidate %
    and the rest is answered 503 with a sentence. A candidate with weight 0 stays reachable for a
    request with the header `x-portal-deployment: <ref>`: that is how the smoke test comes through.

    `matches` are the requests for services that come here too, sorted. `access` tells which keys open the
    route (a fingerprint of them, empty: it is open to all); what the keys are only the router knows.

    `doubt` is never wanted: a setting that was read says there, in a sentence, why it is not wholly in
    effect, as when two engines that both lead traffic disagree."""

    split: TrafficSplit
    stable: Arm | None
    candidate: Arm | None
    matches: tuple[ServiceMatch, ...] = ()
    access: str = ""
    doubt: str = ""

    def splits_like(self, other: "RouteSetting") -> bool:
        """Whether both send traffic to the same deployments in the same shares."""
        return replace(self, matches=(), access="") == replace(other, matches=(), access="")

    def impossibility(self) -> str:
        """Why no gateway could do this, in words; empty when one can."""
        split, stable, candidate = self.split, self.stable, self.candidate
        if candidate is None and (split.candidate or split.shadow):
            return "there is no candidate to give traffic to"
        if stable is None and (split.shadow or 0 < split.candidate < 100):
            return "there is no stable version to share the traffic with"
        if stable and candidate and stable.ref == candidate.ref:
            return f"{stable.ref} cannot be stable and candidate at once"
        return ""


def fingerprint(keys: Iterable[str]) -> str:
    """Tells sets of keys apart and tells nothing of them."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]
