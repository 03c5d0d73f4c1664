"""What the registry is told after a promotion."""

from datetime import timedelta

import pytest

from releases.domain.release import Phase
from releases.models import Endpoint, Environment, Release
from releases.ports import Unreachable
from releases.services.catalog import announce
from tests import factories
from tests.services.rig import START, Rig


def promoted(rig: Rig, environment: Environment | None = None, earlier: Release | None = None) -> Release:
    """A version is registered and released; its endpoint serves it. `earlier` was there before."""
    version = rig.register()
    place = environment or rig.production
    endpoint, _ = Endpoint.objects.get_or_create(tenant=rig.cast.acme, environment=place, model=rig.model)
    endpoint.previous, endpoint.stable = endpoint.stable, version
    endpoint.save()
    stable = earlier.version if earlier else None
    return factories.release(endpoint, version, Phase.SUCCEEDED, at=START, stable=stable)


def aliases(rig: Rig) -> dict[str, int]:
    return {
        alias: number
        for number, version in rig.world.registry.versions["acme-wine"].items()
        for alias in version.aliases
    }


def test_announce_last_environment_moves_champion_and_remembers_the_holder_before(rig: Rig) -> None:
    first = promoted(rig)
    announce(rig.world.registry, first, START)
    assert aliases(rig) == {"champion": 1, "production": 1}
    second = promoted(rig, earlier=first)
    announce(rig.world.registry, second, START)
    assert aliases(rig) == {"champion": 2, "production": 2, "previous": 1}
    tags = rig.world.registry.get_version("acme-wine", 2).tags
    assert tags["portal.production.release"] == second.pk
    assert tags["portal.production.promoted_at"] == "2026-11-23T03:00:00+00:00"
    second.refresh_from_db()
    assert second.announced_at == START


def test_announce_other_environments_have_an_alias_of_their_own(rig: Rig) -> None:
    announce(rig.world.registry, promoted(rig, rig.staging), START)
    assert aliases(rig) == {"staging": 1}


@pytest.mark.parametrize("name", ["latest", "v1", "champion", "previous"])
def test_announce_environment_with_a_reserved_name_gets_another_alias(rig: Rig, name: str) -> None:
    place = factories.environment(rig.cast.acme, name, position=0)
    announce(rig.world.registry, promoted(rig, place), START)
    assert aliases(rig) == {f"environment-{name}": 1}


def test_announce_twice_changes_nothing(rig: Rig) -> None:
    release = promoted(rig)
    announce(rig.world.registry, release, START)
    before = dict(rig.world.registry.versions["acme-wine"])
    announce(rig.world.registry, release, START + timedelta(hours=1))
    assert rig.world.registry.versions["acme-wine"] == before
    release.refresh_from_db()
    assert release.announced_at == START


def test_announce_late_does_not_take_the_alias_from_a_newer_release(rig: Rig) -> None:
    first = promoted(rig)
    second = promoted(rig, earlier=first)
    announce(rig.world.registry, second, START)
    announce(rig.world.registry, first, START)
    assert aliases(rig)["champion"] == 2
    assert rig.world.registry.get_version("acme-wine", 1).tags["portal.production.release"] == first.pk


def test_announce_while_the_registry_is_away_is_left_to_be_done(rig: Rig) -> None:
    release = promoted(rig)
    rig.world.registry.reachable = False
    with pytest.raises(Unreachable):
        announce(rig.world.registry, release, START)
    release.refresh_from_db()
    assert release.announced_at is None


def test_announce_version_that_is_gone_from_the_registry_is_not_tried_for_ever(rig: Rig) -> None:
    release = promoted(rig)
    rig.world.registry.versions["acme-wine"].clear()
    announce(rig.world.registry, release, START)
    release.refresh_from_db()
    assert release.announced_at == START
