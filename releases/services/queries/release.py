"""The page of one release: everything on it, in a constant number of queries."""

from dataclasses import dataclass
from datetime import datetime

from releases.domain.forecast import Forecast, ForecastKind, Spread
from releases.domain.plan import RolloutPlan
from releases.domain.release import TERMINAL, Gate
from releases.domain.verdict import Verdict
from releases.models import Approval, Hold, Release, ReleaseManifest, Transition, ValidationCheck
from releases.services import charts, find, forecasts
from releases.services.approvals import counts, gates
from releases.services.commands import allowed_acts
from releases.services.history import is_whole
from releases.services.queries.banner import Banner, Facts, banner_of
from releases.services.queries.beside import Line, beside
from releases.services.queries.buttons import WITH_TRAFFIC, Button, buttons_of
from releases.services.queries.callbacks import Callbacks, callbacks_of
from releases.services.queries.comparison import Comparison, compare
from releases.services.queries.key_figures import KeyFigures, hold_of, key_figures
from releases.services.queries.manifests import Manifests
from releases.services.queries.samples import series_of
from releases.services.queries.track import Mark, track_of
from releases.services.queries.verdict_table import VerdictTable, table_of
from tenants.access import Actor
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """All that the page shows."""

    release: Release
    plan: RolloutPlan
    banner: Banner
    track: list[Mark]
    verdict: Verdict | None
    table: VerdictTable
    gate: Gate
    figures: charts.Figures
    forecast: Forecast | None
    key: KeyFigures
    beside: list[Line]
    checks: list[ValidationCheck]
    approvals: list[tuple[Approval, bool]]
    transitions: tuple[Transition, ...]
    comparison: Comparison
    hold: Hold | None
    manifests: Manifests | None
    buttons: list[Button]
    may_decide: bool
    why_not_decide: str
    may_lift: bool
    callbacks: Callbacks
    chain_is_whole: bool
    sample_age: int | None

    @property
    def certain_in(self) -> Spread | None:
        """Seconds until the certificate, the middle and the range; None where it is not to be expected."""
        spread = self.forecast and self.forecast.certificate
        return spread if spread and spread.median is not None else None

    @property
    def is_undecidable(self) -> bool:
        """Whether the page has to warn that the plan cannot be decided; a canary without any traffic says
        so in its banner."""
        found = self.forecast
        if found is None or found.decidable is not False:
            return False
        return found.kind is not ForecastKind.NO_TRAFFIC or not self.shows_figures

    @property
    def has_ended(self) -> bool:
        """Nothing will change any more."""
        return self.release.phase in TERMINAL

    @property
    def timeline(self) -> list[Transition]:
        """The history, newest first."""
        return list(reversed(self.transitions))

    @property
    def shows_figures(self) -> bool:
        """Whether the row of key figures says anything."""
        return self.release.phase in WITH_TRAFFIC

    @property
    def seen(self) -> str:
        """Changes when something beyond figures has changed; the page tells it back with each request."""
        kept = self.manifests.row if self.manifests else None
        moment = kept and (kept.ended_at or kept.applied_at or kept.at)
        parts = (self.release.phase, self.release.step, len(self.approvals), int(self.hold is not None))
        return "-".join(str(part) for part in (*parts, moment.timestamp() if moment else 0))

    @property
    def shows_charts(self) -> bool:
        """Whether traffic has moved or moves now."""
        return self.shows_figures or "empty" not in self.figures.evidence

    @property
    def is_by_token(self) -> bool:
        """Filed by a machine."""
        return self.release.requested_by_identity.startswith("token:")

    @property
    def shows_comparison(self) -> bool:
        """Whether what changed needs a panel of its own: no check has said it."""
        said = any(check.detail.get("differences") or check.detail.get("metrics") for check in self.checks)
        return bool(self.comparison.signature) and not said

    @property
    def has_smoke(self) -> bool:
        """Whether smoke tests are among the checks."""
        return any(check.stage == "smoke" for check in self.checks)

    @property
    def roll_back_at(self) -> float:
        """The evidence of harm that rolls back."""
        return round(1 / self.plan.alpha, 1)

    @property
    def certify_at(self) -> float:
        """The evidence that certifies."""
        return round(1 / self.plan.beta, 1)

    @property
    def confidence(self) -> str:
        """Of the intervals, in percent."""
        return f"{100 * (1 - self.plan.alpha):.6g}"

    @property
    def stable_share(self) -> int:
        """What stable answers, in percent."""
        return 100 - self.release.split_candidate

    @property
    def candidate_p95(self) -> float | None:
        """Milliseconds, since the split began."""
        return self.key.percentiles.get("candidate", {}).get(95)

    @property
    def stable_p95(self) -> float | None:
        """Milliseconds, since the split began."""
        return self.key.percentiles.get("stable", {}).get(95)

    @property
    def held_text(self) -> str:
        """What is on hold."""
        return f"{self.hold.version.version} on hold" if self.hold else ""

    @property
    def missing_approvals(self) -> int:
        """How many are still needed at this gate."""
        return max(0, self.gate.required - self.gate.given)

    @property
    def checks_summary(self) -> str:
        """ "7 passed, 1 skipped" """
        words = (("pass", "passed"), ("fail", "failed"), ("skipped", "skipped"), ("running", "running"))
        outcomes = [check.outcome for check in self.checks]
        return ", ".join(f"{n} {word}" for outcome, word in words if (n := outcomes.count(outcome)))

    @property
    def checks_seconds(self) -> float:
        """How long all checks took."""
        return sum(check.seconds for check in self.checks)


def release_page(actor: Actor, release_id: str, now: datetime) -> ReleasePage:
    """Read everything; `NotFound` when there is no such release in the actor's tenant."""
    release = find.release(actor, release_id)
    transitions = tuple(Transition.objects.filter(release=release).order_by("sequence"))
    decisions = list(Approval.objects.filter(release=release).order_by("-at"))
    hold = Hold.objects.select_related("version").filter(release=release, lifted_at__isnull=True).first()
    manifest = ReleaseManifest.objects.filter(release=release).first()
    gate = gates([release])[release.pk]
    allowed = allowed_acts(actor, release)
    verdict = release.last_verdict()
    series = series_of(release.pk)
    hold_left, hold_ends = hold_of(release, now)
    outlook = forecasts.of_release(release, now)
    figures = charts.draw(
        release,
        transitions,
        series,
        verdict,
        ends_at=hold_ends.timestamp() if hold_ends else None,
        now=now.timestamp(),
        ahead=outlook.paths,
    )
    facts = Facts(
        release=release,
        verdict=verdict,
        gate=gate,
        transitions=transitions,
        may_decide=allowed["approve"] is None,
        may_operate=actor.may(Capability.OPERATE),
        is_held=hold is not None,
        hold_ends=hold_ends,
    )
    return ReleasePage(
        release=release,
        plan=release.rollout_plan(),
        banner=banner_of(facts),
        track=track_of(release, transitions, now, gate.given),
        verdict=verdict,
        table=table_of(verdict, release.rollout_plan(), has_stable=release.stable_id is not None),
        gate=gate,
        figures=figures,
        forecast=outlook.forecast,
        key=key_figures(series, figures.percentiles, (hold_left, hold_ends)),
        beside=beside(release, series) if not series.is_empty else [],
        checks=list(ValidationCheck.objects.filter(release=release).order_by("-stage", "position")),
        approvals=[(decision, counts(decision, release)) for decision in decisions],
        transitions=transitions,
        comparison=compare(release.stable, release.version),
        hold=hold,
        manifests=None if manifest is None else Manifests(manifest),
        buttons=buttons_of(release, allowed),
        may_decide=allowed["approve"] is None,
        why_not_decide=allowed["approve"] or "",
        may_lift=actor.may(Capability.OPERATE),
        callbacks=callbacks_of(actor, release),
        chain_is_whole=is_whole(list(transitions)),
        sample_age=_age(release, now),
    )


def _age(release: Release, now: datetime) -> int | None:
    """Seconds since the newest sample, while samples are to be expected."""
    if release.phase not in WITH_TRAFFIC:
        return None
    since = release.sampled_at or release.phase_since
    return max(0, int((now - since).total_seconds()))
