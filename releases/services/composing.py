"""Composes what people have asked for and registers it: the heavy work behind `Recomposition`.

A worker that is killed leaves its row behind, and the next one begins again where it was: what was logged is
not composed again, and what was registered is found by its run. Knows the port, not how models are built.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from releases.domain import composition
from releases.domain.errors import DomainError, Invalid
from releases.domain.version import Change
from releases.models import ModelVersion, Recomposition, ValidationCheck
from releases.ports import ModelComposer, ModelRegistry, Ports, Refused, Unreachable
from releases.services import catalog, locks
from tenants.access import NoAccess, NotAllowed, enter

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
SECONDS = 600.0
"""What composing may take: members are fetched, loaded and asked once."""
MOST_ATTEMPTS = 3
"""So often may a worker be killed over it."""
MOST_EXAMPLES = 3


def waiting() -> list[int]:
    """What is not done yet, the oldest first."""
    rows = Recomposition.objects.filter(ended_at__isnull=True).order_by("requested_at")
    return list(rows.values_list("pk", flat=True))


def compose(recomposition_id: int, ports: Ports, clock: Clock) -> None:
    """Compose and register; nothing when another worker is at it. An engine that is away is told, and asked
    again with the next call."""
    with locks.held("compose", str(recomposition_id)) as is_ours:
        if not is_ours:
            return
        row = (
            Recomposition.objects.select_related("tenant", "base__model", "newer__model", "requested_by")
            .filter(pk=recomposition_id, ended_at__isnull=True)
            .first()
        )
        if row is None:
            return
        try:
            row.result = _result(row, ports, clock)
        except Unreachable as error:
            # Nobody's fault: it does not count among the attempts.
            Recomposition.objects.filter(pk=row.pk).update(said=f"{error}; trying again", attempts=0)
            logger.warning("recomposition %s: %s", row.pk, error)
            return
        except NoAccess:
            row.failure = "whoever asked for it has left the tenant"
        except (DomainError, Refused, NotAllowed) as error:
            row.failure = str(error)
        except Exception:
            logger.exception("recomposition %s", row.pk)
            row.failure = "internal error; it has been logged"
        row.said, row.ended_at = "", clock()
        row.save()


def _result(row: Recomposition, ports: Ports, clock: Clock) -> ModelVersion:
    actor = enter(row.tenant.slug, user=row.requested_by)  # may whoever asked still do so?
    if not row.run_id:
        _compose(row, ports.composer)
    return _registered(row, ports.registry, clock()) or catalog.register_version(
        actor,
        ports.registry,
        model=row.base.model.name,
        run_id=row.run_id,
        artifact_path=row.artifact_path,
        change=Change.MINOR,
        description=_description(row),
        at=clock(),
    )


def _compose(row: Recomposition, composer: ModelComposer) -> None:
    """Counted before it is begun, so that a model that kills its worker is not tried for ever."""
    if row.attempts >= MOST_ATTEMPTS:
        raise Invalid(f"the worker was ended {MOST_ATTEMPTS} times while it composed")
    if row.base.composition is None or row.newer.version is None:
        raise Invalid(f"{row.base} is not composed any more")
    spec = composition.recomposed(row.base.composition, row.member, row.newer.version, _examples(row.base))
    row.attempts += 1
    row.said = "being composed: members are fetched, loaded and asked"
    row.save(update_fields=["attempts", "said"])
    done = composer.compose({**spec, "description": _description(row)}, SECONDS)
    row.run_id, row.artifact_path = done.run_id, done.artifact_path
    row.save(update_fields=["run_id", "artifact_path"])


def _registered(row: Recomposition, registry: ModelRegistry, at: datetime) -> ModelVersion | None:
    """The version of the run, when a worker was killed after it had registered it."""
    mirrored = ModelVersion.objects.filter(model=row.base.model, run_id=row.run_id, version__isnull=False)
    if not mirrored and any(
        version.run_id == row.run_id for version in registry.list_versions(row.base.model.registry_name)
    ):
        catalog.discover(registry, row.base.model, at)
    return mirrored.all().first()


def _description(row: Recomposition) -> str:
    return f"{row.base.model.name} {row.base.version} with {row.newer.model.name} {row.newer.version}"


def _examples(base: ModelVersion) -> list[object]:
    """Entities that the base's own input example asks for, as its validation has kept them; none for a model
    without features."""
    made = base.composed_of
    entity = made.blocks.get("features", {}).get("entity") if made else None
    check = (
        ValidationCheck.objects.filter(release__version=base, name="loads", outcome="pass")
        .order_by("-at")
        .first()
        if entity
        else None
    )
    inputs = ((check.detail.get("example") or {}).get("inputs") or []) if check else []
    for column in inputs:
        if column.get("name") == entity and isinstance(column.get("data"), list):
            return list(column["data"][:MOST_EXAMPLES])
    return []
