"""Tables and constraints; they convert to and from domain objects and decide nothing."""

from releases.models.catalog import ModelVersion, RegisteredModel
from releases.models.delivery import ComponentHealth, Delivery, IdempotencyKey
from releases.models.places import Deployment, Endpoint, Environment, Hold
from releases.models.record import Approval, Sample, Transition, ValidationCheck
from releases.models.release import Release

__all__ = [
    "Approval",
    "ComponentHealth",
    "Delivery",
    "Deployment",
    "Endpoint",
    "Environment",
    "Hold",
    "IdempotencyKey",
    "ModelVersion",
    "RegisteredModel",
    "Release",
    "Sample",
    "Transition",
    "ValidationCheck",
]
