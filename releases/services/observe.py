"""From rows and the world to what the state machine may know. Asks no port itself, decides nothing."""

from collections.abc import Mapping, Sequence

from releases.domain.release import (
    JUDGED,
    Gate,
    Observation,
    Phase,
    Seen,
    TargetState,
    Work,
)
from releases.domain.verdict import NO_VERDICT, Verdict
from releases.models import Release
from releases.services import approvals, smoke, validate
from releases.services.world import World, candidate_ref, effect, stable_ref


def observe(
    releases: Sequence[Release], world: World, verdicts: Mapping[str, Verdict], at: float
) -> dict[str, Observation]:
    """What is seen of each release; constant number of queries."""
    by_phase = {
        phase: [r for r in releases if r.phase == phase] for phase in (Phase.VALIDATING, Phase.SMOKE_TESTING)
    }
    validation = validate.progress(by_phase[Phase.VALIDATING])
    smoked = smoke.smoke_progress(by_phase[Phase.SMOKE_TESTING])
    gates = approvals.gates(releases)
    return {
        release.pk: _observation(
            release,
            world,
            verdict=verdicts.get(release.pk) or _earlier_verdict(release),
            validation=validation.get(release.pk, Work()),
            smoke=smoked.get(release.pk, Work()),
            gate=gates[release.pk],
            at=at,
        )
        for release in releases
    }


def _earlier_verdict(release: Release) -> Verdict:
    """Of a release whose last sample is too young for another; read only where it is looked at."""
    is_judged = Phase(release.phase) in JUDGED
    return (release.last_verdict() if is_judged else None) or NO_VERDICT


def _observation(
    release: Release,
    world: World,
    *,
    verdict: Verdict,
    validation: Work,
    smoke: Work,
    gate: Gate,
    at: float,
) -> Observation:
    found, detail = effect(release, world)
    return Observation(
        at=at,
        validation=validation,
        gate=gate,
        candidate=_candidate(release, world),
        stable=world.seen(stable_ref(release)) if release.stable_id else None,
        smoke=smoke,
        effect=found,
        effect_detail=detail,
        verdict=verdict.kind,
        verdict_summary=verdict.summary,
        nothing_speaks_against=verdict.nothing_speaks_against,
        intent=release.pending_intent(),
    )


def _candidate(release: Release, world: World) -> Seen:
    seen = world.seen(candidate_ref(release))
    if release.refusal and seen.health is TargetState.ABSENT:
        return Seen(TargetState.FAILED, release.refusal)
    return seen
