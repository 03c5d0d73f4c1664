"""Which approvals count: the one rule behind pages, API and reconciler."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from releases.domain.release import Gate, Phase
from releases.models import Release
from releases.services.approvals import gates
from tests import factories

pytestmark = pytest.mark.django_db
END = factories.moment("2026-12-01 00:00:00")
STEPS = {"steps": [{"weight": 10, "approval": True}, {"weight": 50}]}


@pytest.fixture
def cast() -> factories.Cast:
    """The people."""
    return factories.cast()


def release(cast: factories.Cast, phase: Phase = Phase.AWAITING_APPROVAL, **changes: Any) -> Release:
    """Wine 1.1.0 to a production that wants two approvals."""
    place = factories.environment(cast.acme, approvals_required=2)
    wine = factories.model(cast.acme)
    at = factories.endpoint(place, wine, stable=factories.version(wine, "1.0.0"))
    defaults = {"approvals_required": 2, "approvals_expire_at": END, "plan": STEPS}
    return factories.release(at, factories.version(wine, "1.1.0"), phase, **{**defaults, **changes})


def gate(of: Release) -> Gate:
    return gates([of])[of.pk]


def test_gate_nobody_has_decided_is_shut(cast: factories.Cast) -> None:
    assert gate(release(cast)) == Gate(2, 0, None, END.timestamp())


def test_gate_opens_with_the_last_approval_that_is_needed(cast: factories.Cast) -> None:
    waiting = release(cast)
    factories.approval(waiting, cast.ben)
    assert (gate(waiting).given, gate(waiting).is_open) == (1, False)
    factories.approval(waiting, cast.ada)
    assert (gate(waiting).given, gate(waiting).is_open) == (2, True)


@pytest.mark.parametrize("changed", [{"plan_digest": "0" * 64}, {"digest": "sha256:" + "0" * 64}])
@pytest.mark.parametrize("approved", [True, False])
def test_decision_falls_when_plan_or_digest_change(
    cast: factories.Cast, changed: dict[str, str], approved: bool
) -> None:
    waiting = release(cast)
    factories.approval(waiting, cast.ben, approved=approved)
    for name, value in changed.items():
        setattr(waiting, name, value)
    waiting.save()
    assert (gate(waiting).given, gate(waiting).rejection) == (0, None)


def test_decision_of_the_requester_never_counts(cast: factories.Cast) -> None:
    waiting = release(cast, requested_by_identity=f"user:{cast.ben.pk}")
    factories.approval(waiting, cast.ben)
    assert gate(waiting).given == 0


def test_rejection_shuts_the_gate_and_says_who_and_why(cast: factories.Cast) -> None:
    waiting = release(cast, approvals_required=0)
    factories.approval(waiting, cast.ben, approved=False, comment="recall fell by 4 points")
    assert gate(waiting).rejection == "rejected by ben: recall fell by 4 points"
    assert not gate(waiting).is_open


def test_rejection_without_a_comment_names_who(cast: factories.Cast) -> None:
    waiting = release(cast)
    factories.approval(waiting, cast.ben, approved=False)
    assert gate(waiting).rejection == "rejected by ben"


def test_rejection_at_an_earlier_gate_still_stands(cast: factories.Cast) -> None:
    canary = release(cast, Phase.CANARY)
    factories.approval(canary, cast.ben, approved=False, gate=0, comment="no")
    assert gate(canary).rejection == "rejected by ben: no"


def test_gate_of_a_step_counts_only_its_own_approvals(cast: factories.Cast) -> None:
    canary = release(cast, Phase.CANARY)
    factories.approval(canary, cast.ben, gate=0)
    factories.approval(canary, cast.ada, gate=0)
    assert (gate(canary).required, gate(canary).given, gate(canary).expires_at) == (2, 0, None)
    factories.approval(canary, cast.cleo, gate=1)
    assert gate(canary).given == 1


@pytest.mark.parametrize(("step", "required"), [(1, 2), (2, 0)])
def test_gate_of_a_step_needs_approvals_only_where_the_plan_says(
    cast: factories.Cast, step: int, required: int
) -> None:
    assert gate(release(cast, Phase.PAUSED, step=step)).required == required


def test_gate_of_a_step_needs_one_even_where_the_environment_needs_none(cast: factories.Cast) -> None:
    canary = release(cast, Phase.CANARY)
    canary.endpoint.environment.approvals_required = 0
    assert gate(canary).required == 1


def test_gate_of_a_shadow_comes_before_the_steps(cast: factories.Cast) -> None:
    canary = release(cast, Phase.CANARY, plan={**STEPS, "shadow_seconds": 60})
    assert gate(canary).required == 0  # stage 1 is the shadow
    canary.step = 2
    assert gate(canary).required == 2


def test_gates_of_many_releases_take_one_query(cast: factories.Cast) -> None:
    first = release(cast)
    many = [first]
    for _ in range(9):
        ended = factories.release(first.endpoint, first.version, Phase.SUCCEEDED)
        factories.approval(ended, cast.ben)
        many.append(ended)
    with CaptureQueriesContext(connection) as seen:
        found = gates(many)
    assert len(seen) == 1
    assert [found[of.pk].given for of in many] == [0] + [1] * 9


def test_gates_of_no_releases_is_empty() -> None:
    assert gates([]) == {}
