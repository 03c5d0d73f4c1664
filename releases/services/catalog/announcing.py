"""Tells the registry what was promoted, by aliases and tags: a projection of our database, never its source.

In every environment the alias is the environment's own name. The last environment (that with the highest
position) is where the champion lives: there `champion` points at what serves, and `previous` at what served
before it.
"""

import logging
import re
from datetime import datetime

from releases.models import Endpoint, Environment, Release
from releases.ports import ModelRegistry, Refused
from releases.services import locks

logger = logging.getLogger(__name__)

CHAMPION, PREVIOUS = "champion", "previous"
_RESERVED = re.compile(rf"latest|v\d+|{CHAMPION}|{PREVIOUS}")


def announce(registry: ModelRegistry, release: Release, at: datetime) -> None:
    """Set tags and aliases for a release that has succeeded; repeatable. Raises `Unreachable`.

    Announcements of one endpoint follow each other: an old one that comes late must not take the alias
    back from a newer one. When another is at it, nothing is done: the caller asks again."""
    with locks.held("announce", str(release.endpoint_id)) as is_ours:
        if not is_ours:
            return
        try:
            _annotate(registry, release, at)
        except Refused as error:
            logger.warning("release %s cannot be announced: %s", release.pk, error)
        Release.objects.filter(pk=release.pk, announced_at__isnull=True).update(announced_at=at)


def _annotate(registry: ModelRegistry, release: Release, at: datetime) -> None:
    endpoint = Endpoint.objects.select_related("environment", "model", "stable", "previous").get(
        pk=release.endpoint_id
    )
    environment, name = endpoint.environment, endpoint.model.registry_name
    tags = {
        f"portal.{environment.name}.release": release.pk,
        f"portal.{environment.name}.promoted_at": (release.finished_at or at).isoformat(),
    }
    if endpoint.stable_id != release.version_id:  # overtaken by a newer release
        registry.annotate(name, release.version.registry_version, tags)
        return
    is_last = _is_last(environment)
    aliases = [environment_alias(environment), *([CHAMPION] if is_last else [])]
    registry.annotate(name, release.version.registry_version, tags, aliases)
    if is_last and endpoint.previous is not None and endpoint.previous_id != endpoint.stable_id:
        registry.annotate(name, endpoint.previous.registry_version, {}, [PREVIOUS])


def environment_alias(environment: Environment) -> str:
    """The environment's name, unless the registry or the portal means something else by it."""
    name = environment.name
    return f"environment-{name}" if _RESERVED.fullmatch(name) else name


def _is_last(environment: Environment) -> bool:
    same_tenant = Environment.objects.filter(tenant_id=environment.tenant_id)
    last = same_tenant.order_by("-position", "-name").values_list("pk", flat=True).first()
    return last == environment.pk
