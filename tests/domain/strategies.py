"""Hypothesis strategies for plans, observations and well-formed states of a release."""

from hypothesis import strategies as st

from releases.domain.plan import Deadlines, RolloutPlan, Rules, Step, TrafficSplit
from releases.domain.release import (
    Act,
    Effect,
    Gate,
    Intent,
    Observation,
    Phase,
    Progress,
    ReleaseState,
    Seen,
    TargetState,
    Work,
)
from releases.domain.verdict import VerdictKind

NOW = 1_800_000_000.0
SOONER_OR_LATER = st.sampled_from([0.0, 0.4, 1.0, 7.0, 60.0, 299.0, 301.0, 4_000.0, 90_000.0])


@st.composite
def plans(draw: st.DrawFn) -> RolloutPlan:
    """Any valid plan, mostly a short one."""
    weights = sorted(draw(st.sets(st.integers(1, 100), max_size=4)))
    holds = st.sampled_from([0, 1, 60, 300])
    steps = tuple(Step(weight, draw(holds), draw(st.booleans())) for weight in weights)
    return RolloutPlan(
        steps=steps,
        shadow_seconds=draw(st.sampled_from([0, 30])),
        rules=Rules(),
        promotion=draw(st.sampled_from(["certified", "no_harm"])),
        early_promotion=draw(st.booleans()),
        on_inconclusive=draw(st.sampled_from(["wait", "rollback"])),
        max_canary_seconds=draw(st.sampled_from([0, 300, 3_600])),
        grace_seconds=draw(st.sampled_from([0, 60])),
        deadlines=Deadlines(unknown=draw(st.sampled_from([1, 900]))),
    )


def works() -> st.SearchStrategy[Work]:
    return st.builds(Work, st.sampled_from(Progress), st.sampled_from(["", "said so"]))


def deployments() -> st.SearchStrategy[Seen]:
    return st.builds(Seen, st.sampled_from(TargetState), st.sampled_from(["", "in words"]))


def gates() -> st.SearchStrategy[Gate]:
    return st.builds(
        Gate,
        required=st.integers(0, 2),
        given=st.integers(0, 2),
        rejection=st.sampled_from([None, None, None, "rejected by ben: not on a Friday"]),
        expires_at=st.sampled_from([None, NOW - 1, NOW + 1_000_000]),
    )


def intents() -> st.SearchStrategy[Intent | None]:
    acts = st.builds(Intent, st.sampled_from(Act), st.sampled_from(["", "because"]), st.just("ada"))
    return st.none() | acts


@st.composite
def observations(draw: st.DrawFn, at: float = NOW) -> Observation:
    """Anything that can be seen, impossible mixtures included."""
    return Observation(
        at=at,
        validation=draw(works()),
        gate=draw(gates()),
        candidate=draw(deployments()),
        stable=draw(st.none() | deployments()),
        smoke=draw(works()),
        effect=draw(st.sampled_from(Effect)),
        effect_detail=draw(st.sampled_from(["", "90 / 10"])),
        verdict=draw(st.sampled_from(VerdictKind)),
        verdict_summary=draw(st.sampled_from(["", "0 of 10 failed"])),
        nothing_speaks_against=draw(st.booleans()),
        intent=draw(intents()),
    )


@st.composite
def states(draw: st.DrawFn, plan: RolloutPlan) -> ReleaseState:
    """A well-formed state under the plan: the step and the split belong to the phase."""
    staged = [Phase.CANARY, Phase.PAUSED] if plan.stages else []
    unstaged = [phase for phase in Phase if phase not in (Phase.CANARY, Phase.PAUSED)]
    phase = draw(st.sampled_from([*staged, *staged, *unstaged]))
    step, split = 0, TrafficSplit()
    if phase in staged:
        step = draw(st.integers(1, len(plan.stages)))
        split = plan.stages[step - 1].split
    elif phase in (Phase.PROMOTING, Phase.SUCCEEDED):
        step, split = draw(st.sampled_from([0, len(plan.stages)])), TrafficSplit(100)
    elif phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        step = draw(st.integers(0, len(plan.stages)))
    since = NOW - draw(SOONER_OR_LATER)
    runs = phase in (Phase.CANARY, Phase.PROMOTING) and draw(st.booleans())
    hold_since = draw(st.floats(since, NOW)) if runs else None
    is_unknown = phase in (Phase.CANARY, Phase.PROMOTING) and draw(st.booleans())
    return ReleaseState(
        phase=phase,
        since=since,
        step=step,
        split=split,
        hold_since=hold_since,
        hold_elapsed=draw(SOONER_OR_LATER) if phase in staged else 0.0,
        earlier_holds=draw(SOONER_OR_LATER),
        hold_waived=phase in staged and draw(st.booleans()),
        unknown_since=draw(st.floats(hold_since or since, NOW)) if is_unknown else None,
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[RolloutPlan, ReleaseState, Observation]:
    """A plan, a state under it, and what is seen."""
    plan = draw(plans())
    return plan, draw(states(plan)), draw(observations())


@st.composite
def walks(draw: st.DrawFn) -> tuple[RolloutPlan, list[Observation]]:
    """A plan and what is seen one after the other; mostly the world lets the release get on."""
    plan, at, seen = draw(plans()), NOW, []
    for _ in range(draw(st.integers(1, 25))):
        at += draw(SOONER_OR_LATER)
        seen.append(draw(encouraging(at) if draw(st.booleans()) else observations(at)))
    return plan, seen


@st.composite
def encouraging(draw: st.DrawFn, at: float) -> Observation:
    """Everything is ready, passed and in effect; only the verdict differs."""
    verdicts = [VerdictKind.CERTIFIED, VerdictKind.INCONCLUSIVE, VerdictKind.NO_DATA]
    return Observation(
        at=at,
        validation=Work(Progress.PASSED, "9 checks passed"),
        gate=Gate(required=1, given=1),
        candidate=Seen(TargetState.READY, "ready"),
        stable=draw(st.sampled_from([Seen(TargetState.READY, "ready"), None])),
        smoke=Work(Progress.PASSED, "3 answers in 4 ms"),
        effect=Effect.IN_EFFECT,
        verdict=draw(st.sampled_from(verdicts)),
    )
