"""Rows of one tenant by their public names; whatever is not there, or not yours, is `NotFound`."""

from releases.domain.errors import NotFound
from releases.models import Delivery, Endpoint, Environment, ModelVersion, RegisteredModel, Release, Service
from tenants.access import Actor


def model(actor: Actor, name: str) -> RegisteredModel:
    """A registered model by name."""
    row = RegisteredModel.objects.filter(tenant=actor.tenant, name=name).first()
    if row is None:
        raise NotFound(f"There is no model {name[:60]!r}.")
    return row


def version(actor: Actor, of: RegisteredModel, text: str) -> ModelVersion:
    """A version of a model by its semantic version."""
    row = ModelVersion.objects.filter(tenant=actor.tenant, model=of, version=text).first()
    if row is None:
        raise NotFound(f"{of.name} has no version {text[:60]!r}.")
    row.model = of
    return row


def environment(actor: Actor, name: str) -> Environment:
    """An environment by name."""
    row = (
        Environment.objects.select_related("requires_success_in")
        .filter(tenant=actor.tenant, name=name)
        .first()
    )
    if row is None:
        raise NotFound(f"There is no environment {name[:60]!r}.")
    return row


def service(actor: Actor, name: str) -> Service:
    """A service by name."""
    row = Service.objects.filter(tenant=actor.tenant, name=name).first()
    if row is None:
        raise NotFound(f"There is no service {name[:60]!r}.")
    return row


def endpoint(actor: Actor, environment_name: str, model_name: str) -> Endpoint:
    """What serves a model in an environment."""
    row = (
        Endpoint.objects.select_related("tenant", "environment", "model", "stable", "previous")
        .filter(tenant=actor.tenant, environment__name=environment_name, model__name=model_name)
        .first()
    )
    if row is None:
        raise NotFound(f"{model_name[:60]!r} has never been released to {environment_name[:60]!r}.")
    return row


def delivery(actor: Actor, of: Release, number: int) -> Delivery:
    """What a release tells a receiver, by its number."""
    row = (
        Delivery.objects.select_related("transition")
        .filter(tenant=actor.tenant, release=of, pk=number)
        .first()
    )
    if row is None:
        raise NotFound(f"The release has no delivery {number}.")
    return row


def release(actor: Actor, release_id: str) -> Release:
    """A release with all that is named on its page."""
    row = (
        Release.objects.select_related(
            "tenant", "endpoint__tenant", "endpoint__environment", "endpoint__model", "version", "stable"
        )
        .filter(tenant=actor.tenant, pk=release_id)
        .first()
    )
    if row is None:
        raise NotFound(f"There is no release {release_id[:60]!r}.")
    return row
