"""What the portal asks of the world: small protocols, the data that crosses them, and their errors.

Knows no vendor and no Django. Adapters implement these; services receive them as arguments; one contract
suite per port runs against the in-memory fake and against every real adapter.
"""

from dataclasses import dataclass

from releases.domain.routing import Arm
from releases.ports.errors import AdapterError, Refused, Unreachable
from releases.ports.outside import (
    Answer,
    CommitStatus,
    CommitStatuses,
    Composed,
    Message,
    ModelComposer,
    ModelGateway,
    ModelProbe,
    ModelReport,
    Notifier,
)
from releases.ports.registry import (
    ModelRegistry,
    RegisteredVersion,
    RegistryNotice,
    RegistryWebhook,
    RegistryWebhooks,
)
from releases.ports.serving import (
    ArtifactMirror,
    Connection,
    Counters,
    Deployment,
    Finding,
    Guard,
    MetricSource,
    Missing,
    Preflight,
    Preview,
    Problem,
    Protection,
    ServingTarget,
    TargetStatus,
    TrafficRouter,
)

__all__ = [
    "AdapterError",
    "Answer",
    "Arm",
    "ArtifactMirror",
    "CommitStatus",
    "CommitStatuses",
    "Composed",
    "Connection",
    "Counters",
    "Deployment",
    "Finding",
    "Guard",
    "Message",
    "MetricSource",
    "Missing",
    "ModelComposer",
    "ModelGateway",
    "ModelProbe",
    "ModelRegistry",
    "ModelReport",
    "Notifier",
    "Ports",
    "Preflight",
    "Preview",
    "Problem",
    "Protection",
    "Refused",
    "RegisteredVersion",
    "RegistryNotice",
    "RegistryWebhook",
    "RegistryWebhooks",
    "ServingTarget",
    "TargetStatus",
    "TrafficRouter",
    "Unreachable",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of one environment, made by `adapters.factory` at the entry points."""

    registry: ModelRegistry
    target: ServingTarget
    router: TrafficRouter
    metrics: MetricSource
    probe: ModelProbe
    gateway: ModelGateway
    notifier: Notifier
    statuses: CommitStatuses
    mirror: ArtifactMirror
    preflight: Preflight
    guard: Guard
    connection: Connection
    composer: ModelComposer
