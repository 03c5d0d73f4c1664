"""The release: what was asked for, the frozen plan, and where it stands."""

from datetime import UTC, datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models
from ulid import ULID

from releases.domain.plan import RolloutPlan, TrafficSplit
from releases.domain.release import ACTIVE, Act, Intent, Phase, ReleaseState
from releases.domain.verdict import Verdict
from releases.models.catalog import ModelVersion
from releases.models.places import Endpoint
from tenants.models import Tenant


def new_release_id() -> str:
    """A ULID: sortable by time, 26 characters."""
    return str(ULID())


class Kind(models.TextChoices):
    """Why a release exists."""

    RELEASE = "release", "release"
    RETURN = "return", "return to the previous version"


def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _seconds(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()


MOST_PLANS = 4_096
_PLANS: dict[str, RolloutPlan] = {}


class Release(models.Model):
    """One rollout of one version to one endpoint.

    `row_version` rises with every change of state and every act of a person, not with a sample.
    """

    id = models.CharField(primary_key=True, max_length=26, default=new_release_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="releases")
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, related_name="releases")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="releases")
    stable = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.RELEASE)

    plan = models.JSONField()
    plan_digest = models.CharField(max_length=64)
    approvals_required = models.PositiveSmallIntegerField()
    approvals_expire_at = models.DateTimeField(null=True)
    digest = models.CharField(max_length=71, blank=True)
    note = models.TextField(blank=True)
    callback_url = models.URLField(max_length=500, blank=True)
    commit_repository = models.CharField(max_length=140, blank=True)  # owner/name; empty: no commit is told
    commit_sha = models.CharField(max_length=40, blank=True)
    requested_by = models.CharField(max_length=150)
    requested_by_identity = models.CharField(max_length=60)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)  # traffic first reached the candidate
    finished_at = models.DateTimeField(null=True)

    phase = models.CharField(max_length=20, choices=[(phase.value, phase.value) for phase in Phase])
    phase_since = models.DateTimeField()
    reason = models.TextField(blank=True)
    step = models.PositiveSmallIntegerField(default=0)
    split_candidate = models.PositiveSmallIntegerField(default=0)
    split_shadow = models.BooleanField(default=False)
    hold_since = models.DateTimeField(null=True)
    hold_elapsed = models.FloatField(default=0)
    earlier_holds = models.FloatField(default=0)
    hold_waived = models.BooleanField(default=False)
    unknown_since = models.DateTimeField(null=True)
    row_version = models.PositiveIntegerField(default=1)

    intent = models.CharField(max_length=10, blank=True)
    intent_reason = models.TextField(blank=True)
    intent_by = models.CharField(max_length=150, blank=True)

    # The judge's state: one small float64 vector, folded together with the sample it came from.
    evidence = models.BinaryField(default=bytes)
    counters = models.JSONField(default=dict)  # last totals per arm
    verdict = models.JSONField(default=dict)
    self_test = models.JSONField(default=dict)  # stable against itself, when the release was filed
    sampled_at = models.DateTimeField(null=True)
    latency_bounds = ArrayField(models.FloatField(), default=list)  # ms, of the samples' histograms
    prediction_bins = models.JSONField(null=True)  # of the samples' prediction counts; never changes
    announced_at = models.DateTimeField(null=True)  # the registry's alias and tags were set

    next_wake_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    refusal = models.TextField(blank=True)  # the serving target said: never
    failures = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=models.Q(phase__in=sorted(ACTIVE)),
                name="release_one_active_per_endpoint",
            ),
            models.CheckConstraint(
                condition=models.Q(split_candidate__lte=100), name="release_split_at_most_100"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_wake_at"],
                condition=models.Q(next_wake_at__isnull=False),
                name="release_due",
            ),
            models.Index(fields=["tenant", "-id"], name="release_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.version} to {self.endpoint.environment.name} ({self.phase})"

    def rollout_plan(self) -> RolloutPlan:
        """The frozen plan as a value; plans never change, so each is read once per process."""
        plan = _PLANS.get(self.plan_digest)
        if plan is None:
            plan = RolloutPlan.from_json(self.plan)
            if len(_PLANS) >= MOST_PLANS:
                _PLANS.clear()
            _PLANS[self.plan_digest] = plan
        return plan

    def state(self) -> ReleaseState:
        """Where the release stands, as the state machine reads it."""
        return ReleaseState(
            phase=Phase(self.phase),
            since=self.phase_since.timestamp(),
            step=self.step,
            split=TrafficSplit(self.split_candidate, self.split_shadow),
            hold_since=_seconds(self.hold_since),
            hold_elapsed=self.hold_elapsed,
            earlier_holds=self.earlier_holds,
            hold_waived=self.hold_waived,
            unknown_since=_seconds(self.unknown_since),
        )

    def set_state(self, state: ReleaseState) -> None:
        """Take over a state; the inverse of `state`."""
        self.phase = state.phase.value
        self.phase_since = datetime.fromtimestamp(state.since, UTC)
        self.step = state.step
        self.split_candidate = state.split.candidate
        self.split_shadow = state.split.shadow
        self.hold_since = _moment(state.hold_since)
        self.hold_elapsed = state.hold_elapsed
        self.earlier_holds = state.earlier_holds
        self.hold_waived = state.hold_waived
        self.unknown_since = _moment(state.unknown_since)

    def pending_intent(self) -> Intent | None:
        """What a person has asked for and the reconciler has not yet taken up."""
        if not self.intent:
            return None
        return Intent(Act(self.intent), self.intent_reason, self.intent_by)

    def last_verdict(self) -> Verdict | None:
        """The newest verdict; None before the first."""
        return Verdict.from_json(self.verdict) if self.verdict else None
