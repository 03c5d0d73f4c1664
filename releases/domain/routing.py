"""Where callers find a model, and how its traffic is split. Values only; knows no vendor."""

from dataclasses import dataclass

from releases.domain.plan import TrafficSplit


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
    request with the header `x-portal-deployment: <ref>`: that is how the smoke test comes through."""

    split: TrafficSplit
    stable: Arm | None
    candidate: Arm | None
