"""A newer member: offered, asked for once, composed by a worker, registered as a minor version."""

import copy
import json
from typing import Any

import pytest

from releases.domain.errors import Conflict
from releases.domain.version import Change
from releases.models import ModelVersion, Recomposition
from releases.ports import Refused, Unreachable
from releases.services import catalog, commands, composing
from releases.services.queries.composition import view
from releases.services.queries.offers import Offer, of_base, of_member
from tenants.access import NotAllowed
from tenants.models import AuditEvent
from tests import factories
from tests.domain.test_composition import BLOCKS, ENSEMBLE
from tests.services.rig import Rig

INSIDE = ENSEMBLE["core"]["members"][0]["digest"]


class Ensemble:
    """wine 1.0.0 is forest 1.2.0 and boost 1.2.0; forest 1.3.0 is newer."""

    def __init__(self, rig: Rig, blocks: dict[str, Any]) -> None:
        document = copy.deepcopy({**ENSEMBLE, "blocks": blocks})
        self.forest = factories.model(rig.cast.acme, "wine-forest", registry_name="wine-forest")
        for number, text in ((3, "1.2.0"), (4, "1.3.0"), (5, "1.4.0-rc.1")):
            factories.version(self.forest, text, registry_version=number, digest=INSIDE)
        self.newer = self.forest.versions.get(version="1.3.0")
        self.base = rig.register(
            files={"MLmodel": json.dumps({"metadata": {"composition": document}}).encode()}
        )


@pytest.fixture
def ensemble(rig: Rig) -> Ensemble:
    return Ensemble(rig, {"cache": BLOCKS["cache"]})


def ask(rig: Rig, ensemble: Ensemble, newer: str = "1.3.0") -> Recomposition:
    return commands.compose_newer(
        rig.ada, "wine", str(ensemble.base.version), member="forest", newer=newer, at=rig.at
    )


def work(rig: Rig, row: Recomposition) -> Recomposition:
    for pk in composing.waiting():
        composing.compose(pk, rig.world.ports, rig.clock)
    row.refresh_from_db()
    return row


def offers(version: ModelVersion) -> list[Offer]:
    version = ModelVersion.objects.select_related("model").get(pk=version.pk)
    return [*of_base(version, view(version)), *of_member(version)]


def test_newer_member_is_offered_on_both_pages_and_a_prerelease_on_none(rig: Rig, ensemble: Ensemble) -> None:
    for version in (ensemble.base, ensemble.newer):
        [offer] = offers(version)
        assert (offer.base, offer.inside, offer.newer) == (ensemble.base, "1.2.0", ensemble.newer)
        assert offer.is_open
    assert offers(ensemble.forest.versions.get(version="1.2.0")) == []
    assert offers(ensemble.forest.versions.get(version="1.4.0-rc.1")) == []


def test_version_of_another_tenant_is_not_offered(rig: Rig, ensemble: Ensemble) -> None:
    theirs = factories.model(rig.cast.globex, "forest", registry_name="their-forest")
    assert offers(factories.version(theirs, "9.0.0")) == []


def test_what_was_asked_for_is_composed_and_registered_as_a_minor_version(
    rig: Rig, ensemble: Ensemble
) -> None:
    row = work(rig, ask(rig, ensemble))
    assert row.failure == ""
    assert row.result is not None
    assert (row.result.version, row.result.run_id) == ("1.1.0", "composed-1")
    [spec] = rig.world.composer.specs
    assert spec["core"] == {
        "kind": "ensemble",
        "combine": "mean_of_probabilities",
        "on_failure": {"policy": "quorum", "at_least": 1},
        "members": {
            "forest": {"model": "wine-forest", "version": "1.3.0", "weight": 0.75},
            "boost": {"model": "wine-boost", "version": "1.2.0", "weight": 0.25},
        },
    }
    assert (spec["model"], spec["change"], spec["cache"]) == ("wine", "minor", BLOCKS["cache"])
    assert "encryption" not in spec
    [offer] = offers(ensemble.base)
    assert not offer.is_open
    assert composing.waiting() == []


def test_asking_twice_is_one_intent_and_audited_once(rig: Rig, ensemble: Ensemble) -> None:
    first = ask(rig, ensemble)
    assert ask(rig, ensemble) == first
    assert AuditEvent.objects.filter(action="composition.requested").count() == 1
    work(rig, first)
    assert ask(rig, ensemble).result == work(rig, first).result
    assert len(rig.world.composer.specs) == 1


def test_asking_needs_the_right_to_request_and_what_is_offered(rig: Rig, ensemble: Ensemble) -> None:
    version = str(ensemble.base.version)
    with pytest.raises(NotAllowed):
        commands.compose_newer(
            rig.cast.actor(rig.cast.cleo), "wine", version, member="forest", newer="1.3.0", at=rig.at
        )
    with pytest.raises(Conflict, match=r"is not the newest version above 1\.2\.0: 1\.3\.0 is"):
        ask(rig, ensemble, "1.4.0-rc.1")
    assert not Recomposition.objects.exists()


def test_failure_is_kept_with_its_words_and_may_be_asked_for_again(rig: Rig, ensemble: Ensemble) -> None:
    rig.world.composer.trouble = Refused("core.members: forest answers classes that boost does not know")
    row = work(rig, ask(rig, ensemble))
    assert row.failure == "core.members: forest answers classes that boost does not know"
    assert offers(ensemble.base)[0].is_open
    rig.world.composer.trouble = None
    again = ask(rig, ensemble)
    assert again == row
    assert work(rig, again).result is not None
    assert AuditEvent.objects.filter(action="composition.requested").count() == 2


def test_registry_that_is_away_is_told_and_waited_for(rig: Rig, ensemble: Ensemble) -> None:
    rig.world.composer.trouble = Unreachable("MLflow does not answer")
    row = ask(rig, ensemble)
    for _ in range(composing.MOST_ATTEMPTS + 2):
        work(rig, row)
    assert (row.ended_at, row.said) == (None, "MLflow does not answer; trying again")
    rig.world.composer.trouble = None
    assert work(rig, row).result is not None


class Killed(BaseException):
    """As by SIGKILL: nothing of the worker's own runs after it."""


def test_worker_killed_while_it_composes_is_followed_by_another_but_not_for_ever(
    rig: Rig, ensemble: Ensemble
) -> None:
    row = ask(rig, ensemble)
    rig.world.composer.trouble = Killed()  # type: ignore[assignment]
    for _ in range(composing.MOST_ATTEMPTS):
        with pytest.raises(Killed):
            work(rig, row)
    assert work(rig, row).failure == "the worker was ended 3 times while it composed"


def test_worker_killed_after_it_registered_registers_no_second_version(
    rig: Rig, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(rig, ensemble)
    register = catalog.register_version

    def registered_and_killed(*given: Any, **named: Any) -> None:
        register(*given, **named)
        raise Killed

    monkeypatch.setattr(catalog, "register_version", registered_and_killed)
    with pytest.raises(Killed):
        work(rig, row)
    monkeypatch.undo()
    ModelVersion.objects.filter(run_id="composed-1").delete()  # the transaction was lost, the registry's not
    row = work(rig, row)
    assert row.result is not None
    assert row.result.run_id == "composed-1"
    assert len(rig.world.composer.specs) == 1
    assert len(rig.world.registry.list_versions(rig.model.registry_name)) == 2


def test_whoever_left_the_tenant_gets_nothing_composed(rig: Rig, ensemble: Ensemble) -> None:
    row = ask(rig, ensemble)
    rig.cast.ada.memberships.all().delete()
    assert work(rig, row).failure == "whoever asked for it has left the tenant"
    assert rig.world.composer.specs == []


def test_features_are_asked_for_the_entities_that_the_base_was_validated_with(rig: Rig) -> None:
    features = {"entity": "alcohol", "view_features": ["wines:hue"], "on_missing": "default", "columns": []}
    ensemble = Ensemble(rig, {"features": {**features, "defaults": {"hue": 1.0}}})
    assert "was never validated" in work(rig, ask(rig, ensemble)).failure
    rig.serve(ensemble.base)
    assert work(rig, ask(rig, ensemble)).result is not None
    assert rig.world.composer.specs[-1]["features"] == {
        "entity": "alcohol",
        "view_features": ["wines:hue"],
        "on_missing": "default",
        "defaults": {"hue": 1.0},
        "example_ids": [12.5],
    }
    assert Change.MINOR.value == rig.world.composer.specs[-1]["change"]
