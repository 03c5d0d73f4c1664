"""Tables and constraints; they convert to and from domain objects and decide nothing."""

from releases.models.catalog import ModelVersion, RegisteredModel
from releases.models.composing import Recomposition
from releases.models.delivery import (
    Channel,
    ComponentHealth,
    Delivery,
    DeliveryState,
    IdempotencyKey,
    RegistryMessage,
)
from releases.models.kubernetes import AutoscalingPolicy, KubernetesPlace, ReleaseManifest
from releases.models.places import Deployment, Endpoint, Environment, Hold
from releases.models.record import Approval, Sample, Transition, ValidationCheck
from releases.models.release import Release
from releases.models.traffic import Service, ServiceRule

__all__ = [
    "Approval",
    "AutoscalingPolicy",
    "Channel",
    "ComponentHealth",
    "Delivery",
    "DeliveryState",
    "Deployment",
    "Endpoint",
    "Environment",
    "Hold",
    "IdempotencyKey",
    "KubernetesPlace",
    "ModelVersion",
    "Recomposition",
    "RegisteredModel",
    "RegistryMessage",
    "Release",
    "ReleaseManifest",
    "Sample",
    "Service",
    "ServiceRule",
    "Transition",
    "ValidationCheck",
]
