"""Finds what others did in the registry: new versions, tags, aliases, versions that are gone."""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Case, F, When

from releases.models import ModelVersion, RegisteredModel
from releases.ports import ModelRegistry, Refused, RegisteredVersion, Unreachable
from releases.services.catalog.mirror import SEMANTIC_TAG, lock, name_row, new_row

logger = logging.getLogger(__name__)

GONE = "no longer in the registry"


def poll(registry: ModelRegistry, at: datetime) -> None:
    """Look at every model, the one not seen for longest first; one that fails does not stop the others.

    Raises `Unreachable` at the end if one could not be looked at, at once when two in a row could not."""
    failure: Unreachable | None = None
    was_reached = True
    for model in RegisteredModel.objects.order_by(F("polled_at").asc(nulls_first=True), "pk"):
        try:
            discover(registry, model, at)
            was_reached = True
        except Unreachable as error:
            failure = error
            if not was_reached:
                break
            was_reached = False
        except Refused as error:
            logger.warning("the registry does not list versions of %s: %s", model.registry_name, error)
        except Exception:
            logger.exception("versions of %s cannot be mirrored", model.registry_name)
    if failure is not None:
        raise failure


def look_where_asked(registry: ModelRegistry, clock: Callable[[], datetime]) -> int:
    """Look at the models of which the registry has told a change, until there are none; returns how many
    looks that took. What cannot be looked at now stays asked for, and `poll` comes by in any case."""
    looks, failed = 0, set[int]()
    while model := _next_asked(failed):
        looks += 1
        try:
            discover(registry, model, clock())
        except Unreachable as error:
            logger.warning("the registry told of %s and cannot be asked: %s", model.registry_name, error)
            break
        except Refused as error:
            logger.warning("the registry does not list versions of %s: %s", model.registry_name, error)
            failed.add(model.pk)
        except Exception:
            logger.exception("versions of %s cannot be mirrored", model.registry_name)
            failed.add(model.pk)
    return looks


def _next_asked(but: Collection[int]) -> RegisteredModel | None:
    asked = RegisteredModel.objects.filter(asked_at__isnull=False).exclude(pk__in=but)
    return asked.order_by("asked_at").first()


def discover(registry: ModelRegistry, model: RegisteredModel, at: datetime) -> list[ModelVersion]:
    """Mirror the model's versions; returns the rows that are new.

    One listing of the registry and one query when nothing has changed."""
    # Rows first: whatever is registered after the listing has no row yet, and is not taken for gone.
    known = {row.registry_version: row for row in ModelVersion.objects.filter(model=model)}
    listed = registry.list_versions(model.registry_name)
    new = sorted(version.number for version in listed if version.number not in known)
    found = [_full(registry, model, number) for number in new]
    changed = _changed(known.values(), listed)
    rows: list[ModelVersion] = []
    with transaction.atomic():
        if found or changed:
            lock(model)
            rows = _write(model, [version for version in found if version is not None], changed)
        RegisteredModel.objects.filter(pk=model.pk).update(polled_at=at, asked_at=_still_asked(model))
    return rows


def _still_asked(model: RegisteredModel) -> Case:
    """What the registry has told of since the row was read, before the listing, is still to be looked at."""
    return Case(When(asked_at=model.asked_at, then=None), default=F("asked_at"))


def _full(registry: ModelRegistry, model: RegisteredModel, number: int) -> RegisteredVersion | None:
    try:
        return registry.get_version(model.registry_name, number)
    except Refused as error:  # deleted since the listing
        logger.info("version %d of %s: %s", number, model.registry_name, error)
        return None


def _changed(known: Iterable[ModelVersion], listed: Sequence[RegisteredVersion]) -> list[ModelVersion]:
    """The rows that have to be written again, already as they shall be (names are given later)."""
    by_number = {version.number: version for version in listed}
    changed = []
    for row in known:
        version = by_number.get(row.registry_version)
        if version is None:
            if row.note != GONE:
                row.note = GONE
                changed.append(row)
            continue
        seen = (dict(version.tags), sorted(version.aliases), version.description)
        if seen != (row.tags, sorted(row.aliases), row.description) or row.note == GONE:
            row.tags, row.aliases, row.description = seen
            row.note = ""
            changed.append(row)
    return changed


def _write(
    model: RegisteredModel, found: Sequence[RegisteredVersion], changed: Sequence[ModelVersion]
) -> list[ModelVersion]:
    """Under the lock of the model: what a registration has written meanwhile is not written again."""
    stored = ModelVersion.objects.filter(model=model)
    names = dict(stored.values_list("registry_version", "version"))
    taken = {version: number for number, version in names.items() if version}
    for row in changed:
        if row.note != GONE:
            _note(row, taken)
        row.save(update_fields=["tags", "aliases", "description", "note", *_NAME])
    rows = [new_row(model, version) for version in found if version.number not in names]
    for row in rows:
        name_row(row, taken)
        row.save(force_insert=True)
        if row.version:
            taken[row.version] = row.registry_version
    return rows


_NAME = ("version", "major", "minor", "patch", "prerelease")


def _note(row: ModelVersion, taken: dict[str, int]) -> None:
    """A version that has its number keeps it: releases and approvals speak of it. Others may get one."""
    if row.version is None:
        name_row(row, taken)
        if row.version:
            taken[row.version] = row.registry_version
        return
    tag = row.tags.get(SEMANTIC_TAG, "").strip()
    row.note = "" if tag == row.version else f"the registry calls this version {tag[:100] or 'nothing'} now"
