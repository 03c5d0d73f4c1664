"""What a plan would have said of the last releases of an endpoint, beside what really happened.

The samples that were kept are judged anew, all releases in one batch; nothing is changed. Needs no more
queries for ten releases than for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from releases.domain import replay
from releases.domain.judge import JudgeRules
from releases.domain.judge.bins import PredictionBins
from releases.domain.judge.explanation import duration, milliseconds, percent_limit
from releases.domain.judging_rules import judge_rules
from releases.domain.plan import RolloutPlan
from releases.domain.release import TERMINAL, Phase
from releases.domain.replay import DECISIVE, Ending
from releases.domain.verdict import VerdictKind
from releases.models import Endpoint, Release, Transition
from releases.services.recordings import Recording, recordings_of

MOST_RELEASES = 10
# Where it was decided how a release ends; what comes after is carrying it out.
_DECIDED_IN = {Phase.SUCCEEDED: Phase.PROMOTING, Phase.ROLLED_BACK: Phase.ROLLING_BACK}


@dataclass(frozen=True, slots=True)
class Happened:
    """How a release really ended: decided when, after how many seconds of traffic, and why."""

    phase: Phase
    at: datetime | None
    seconds: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """One release. `ending` is None when nothing is kept of it; `note` says what cannot be replayed."""

    release: Release
    happened: Happened
    ending: Ending | None
    sampled_seconds: float
    note: str

    @property
    def kind(self) -> VerdictKind | None:
        return self.ending.verdict.kind if self.ending else None

    @property
    def is_decided(self) -> bool:
        """Whether the plan would have come to a decision."""
        return self.kind in DECISIVE

    @property
    def differs(self) -> bool:
        """Whether the plan would have ended it otherwise than it ended."""
        ended = {Phase.SUCCEEDED: VerdictKind.CERTIFIED, Phase.ROLLED_BACK: VerdictKind.HARM}
        return self.is_decided and self.kind is not ended.get(self.happened.phase, self.kind)


@dataclass(frozen=True, slots=True)
class Retrospective:
    """The last releases, newest first, in the eyes of a plan."""

    plan: RolloutPlan
    releases: list[Said]

    @property
    def rules(self) -> str:
        """What the plan judges by, as a line."""
        rules = self.plan.rules
        compared = [
            word
            for word, is_on in (
                ("errors", rules.compare_errors),
                ("latency", rules.compare_latency),
                ("predictions", rules.compare_predictions),
            )
            if is_on
        ]
        parts = [f"{', '.join(compared)} against stable"] if compared else []
        if rules.error_rate_max is not None:
            parts.append(f"errors below {percent_limit(rules.error_rate_max)}")
        if rules.latency_p95_max_ms is not None:
            parts.append(f"p95 below {milliseconds(rules.latency_p95_max_ms)}")
        return "; ".join(parts) or "no rule is on"

    @property
    def sentence(self) -> str:
        """The sum of it."""
        judged = [said for said in self.releases if said.ending]
        if not judged:
            return "no finished release with samples to replay yet"
        stopped = [said for said in judged if said.kind is VerdictKind.HARM]
        which = ", ".join(
            f"{said.release.version.version} after {_after(said.ending)}" for said in stopped if said.ending
        )
        parts = [f"would have rolled back {len(stopped)} of {len(judged)}" + (f": {which}" if which else "")]
        for phase, verb in ((Phase.SUCCEEDED, "succeeded"), (Phase.ROLLED_BACK, "rolled back")):
            ended = [said for said in judged if said.happened.phase is phase]
            if ended:
                caught = sum(said.kind is VerdictKind.HARM for said in ended)
                parts.append(f"of the {len(ended)} that {verb} it would have stopped {caught}")
        return "; ".join(parts)


def look_back(endpoint: Endpoint, plan: RolloutPlan) -> Retrospective:
    """Replay the last finished releases that had traffic; three queries."""
    ended = [phase.value for phase in TERMINAL]
    rows = (
        Release.objects.filter(endpoint=endpoint, phase__in=ended, started_at__isnull=False)
        .select_related("version")
        .defer("evidence", "counters", "verdict")
        .order_by("-id")
    )
    releases = list(rows[:MOST_RELEASES])
    recordings = recordings_of(releases) if releases else []
    endings = replay.replay(
        [_rules(plan, release) for release in releases], [recording.samples for recording in recordings]
    )
    happened = _happened(releases)
    return Retrospective(
        plan,
        [
            _said(release, happened[release.pk], recording, ending)
            for release, recording, ending in zip(releases, recordings, endings, strict=True)
        ],
    )


def _said(release: Release, happened: Happened, recording: Recording, ending: Ending | None) -> Said:
    return Said(release, happened, ending, recording.seconds, recording.note)


def _after(ending: Ending) -> str:
    """ "12 s", and in minutes from two on"""
    seconds = ending.at or 0.0
    return f"{seconds:.0f} s" if seconds < 120 else duration(seconds)


def _rules(plan: RolloutPlan, release: Release) -> JudgeRules:
    names = PredictionBins.from_json(release.prediction_bins).names if release.prediction_bins else ()
    return judge_rules(plan, has_stable=release.stable_id is not None, prediction_names=names)


def _happened(releases: Sequence[Release]) -> Mapping[str, Happened]:
    lines = Transition.objects.filter(
        release__in=releases, to_phase__in=[phase.value for phase in _DECIDED_IN.values()]
    )
    newest = {(line.release_id, line.to_phase): line for line in lines.order_by("sequence")}
    found = {}
    for release in releases:
        phase = Phase(release.phase)
        line = newest.get((release.pk, _DECIDED_IN.get(phase, phase).value))
        at, reason = (line.at, line.reason) if line else (release.finished_at, release.reason)
        seconds = (at - release.started_at).total_seconds() if at and release.started_at else None
        found[release.pk] = Happened(phase, at, seconds, reason)
    return found
