"""Whatever crashes, is late or happens twice: a release ends where it ends undisturbed.

The world below is small but keeps its memory apart from the portal's: the gateway has a split in effect,
the state is what was persisted last. A pass observes, decides, persists, and then brings the split about;
it may die before it persists, die before the effect, find the gateway slow, or run twice."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from hypothesis import given
from hypothesis import strategies as st

from releases.domain.plan import RolloutPlan, Step, TrafficSplit
from releases.domain.release import (
    DEPLOYED,
    TERMINAL,
    Act,
    Effect,
    Intent,
    Observation,
    Phase,
    Progress,
    ReleaseState,
    Seen,
    TargetState,
    Work,
    decide,
    start,
)
from releases.domain.verdict import VerdictKind


class Fate(StrEnum):
    """How one pass goes."""

    WELL = "well"
    DIES_BEFORE_PERSIST = "dies before persist"
    DIES_BEFORE_EFFECT = "dies before effect"
    GATEWAY_IS_SLOW = "gateway is slow"
    GATEWAY_IS_AWAY = "gateway is away"
    SOMEONE_MEDDLES = "someone meddles"
    RUNS_TWICE = "runs twice"


PLANS = [
    RolloutPlan(),
    RolloutPlan(steps=(Step(10, 60), Step(50, 60)), max_canary_seconds=300, on_inconclusive="rollback"),
    RolloutPlan(steps=(Step(20, 30),), shadow_seconds=20, promotion="no_harm"),
    RolloutPlan(steps=()),
]


@dataclass
class World:
    """`character` is the candidate's; `seconds` of traffic (or copies of it) reveal it."""

    plan: RolloutPlan
    character: str
    has_stable: bool = True
    aborted_at: Phase | None = None
    at: float = 1_800_000_000.0
    revealed: float = 0.0
    in_effect: TrafficSplit = field(default_factory=TrafficSplit)
    under_way: TrafficSplit | None = None
    is_deployed: bool = False
    intent: Intent | None = None
    course: list[Phase] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = start(self.at)

    def live(self, seconds: float) -> None:
        """Time passes: what is under way arrives, traffic shows what the candidate is like."""
        self.at += seconds
        if self.in_effect.candidate or self.in_effect.shadow:
            self.revealed += seconds
        if self.under_way is not None:
            self.in_effect, self.under_way = self.under_way, None

    def observe(self, gateway_is_away: bool) -> Observation:
        effect = Effect.IN_EFFECT if self.in_effect == self.state.split else Effect.DIFFERENT
        health = TargetState.READY if self.is_deployed else TargetState.ABSENT
        if self.character == "does not start" and self.is_deployed:
            health = TargetState.FAILED
        refused = self.character == "invalid"
        return Observation(
            at=self.at,
            validation=Work(Progress.FAILED if refused else Progress.PASSED, "checked"),
            candidate=Seen(health),
            stable=Seen(TargetState.READY) if self.has_stable else None,
            smoke=Work(Progress.FAILED if self.character == "answers nonsense" else Progress.PASSED, "asked"),
            effect=Effect.UNKNOWN if gateway_is_away else effect,
            verdict=VerdictKind.UNREACHABLE if gateway_is_away else self.verdict(),
            intent=self.intent,
        )

    def verdict(self) -> VerdictKind:
        if self.character == "harmful" and self.revealed >= 10:
            return VerdictKind.HARM
        if self.character == "good" and self.revealed >= 45:
            return VerdictKind.CERTIFIED
        return VerdictKind.INCONCLUSIVE if self.revealed else VerdictKind.NO_DATA

    def run_pass(self, fate: Fate) -> None:
        """One pass of the reconciler; what has to be true of the world comes last and is absolute."""
        if fate is Fate.SOMEONE_MEDDLES and self.state.split.candidate not in (0, 100):
            self.in_effect = TrafficSplit(1)
        seen = self.observe(gateway_is_away=fate is Fate.GATEWAY_IS_AWAY)
        decision = decide(self.plan, self.state, seen)
        if fate is Fate.DIES_BEFORE_PERSIST:
            return
        if decision.intent_is_done:
            self.intent = None
        self.persist(decision.state)
        if fate in (Fate.DIES_BEFORE_EFFECT, Fate.GATEWAY_IS_AWAY):
            return
        self.is_deployed = self.is_deployed or self.state.phase in DEPLOYED
        if fate is Fate.GATEWAY_IS_SLOW:
            self.under_way = self.state.split
        else:
            self.in_effect = self.state.split
        if fate is Fate.RUNS_TWICE:
            self.run_pass(Fate.WELL)

    def persist(self, state: ReleaseState) -> None:
        if state.phase is not self.state.phase:
            self.course.append(state.phase)
            if state.phase is self.aborted_at:
                self.intent = Intent(Act.ABORT, "wrong version", "ada")
        self.state = state

    def run(self, fates: list[Fate]) -> Phase:
        """Until the end; disturbed for as long as there are fates."""
        for turn in range(5_000):
            self.run_pass(fates[turn] if turn < len(fates) else Fate.WELL)
            if self.state.phase in TERMINAL:
                return self.state.phase
            self.live(1.0)
        raise AssertionError(f"never ends: {self.state}")


CHARACTERS = ["good", "harmful", "dull", "invalid", "does not start", "answers nonsense"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    plan = draw(st.sampled_from(PLANS))
    possible = list(CHARACTERS)
    if plan.on_inconclusive != "rollback":
        possible.remove("dull")  # it would wait for a person
    if not plan.stages:
        possible.remove("harmful")  # nobody looks: whether harm shows in time is chance
    return World(
        plan=plan,
        character=draw(st.sampled_from(possible)),
        has_stable=draw(st.booleans()),
        aborted_at=draw(st.sampled_from([None, None, *DEPLOYED - {Phase.PROMOTING}])),
    )


@given(worlds(), st.lists(st.sampled_from(Fate), max_size=200))
def test_release_any_interleaving_of_crashes_ends_where_the_undisturbed_one_ends(
    world: World, fates: list[Fate]
) -> None:
    undisturbed = replace(world, course=[])
    end = undisturbed.run([])
    assert world.run(fates) is end
    assert world.course == undisturbed.course


def test_release_world_reaches_every_end() -> None:
    """The property above would say little if all worlds ended alike."""
    ends = {character: World(PLANS[1], character).run([]) for character in [*CHARACTERS]}
    assert ends == {
        "good": Phase.SUCCEEDED,
        "harmful": Phase.ROLLED_BACK,
        "dull": Phase.ROLLED_BACK,
        "invalid": Phase.REJECTED,
        "does not start": Phase.ROLLED_BACK,
        "answers nonsense": Phase.ROLLED_BACK,
    }
    assert World(PLANS[0], "good", aborted_at=Phase.CANARY).run([]) is Phase.ROLLED_BACK
    assert World(PLANS[0], "good", aborted_at=Phase.SMOKE_TESTING).run([]) is Phase.CANCELLED
