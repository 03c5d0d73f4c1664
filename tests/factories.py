"""Rows for tests: plain functions with keyword overrides, and the cast that everyone knows.

The cast: in the tenant `acme` Ada (administrator), Ben (approver), Cleo (viewer); in `globex` Mallory
(administrator), the stranger who must never get in.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from releases.domain.plan import RolloutPlan
from releases.domain.release import TERMINAL, Phase
from releases.domain.version import SemanticVersion
from releases.models import (
    Approval,
    ComponentHealth,
    Endpoint,
    Environment,
    Hold,
    KubernetesPlace,
    ModelVersion,
    RegisteredModel,
    Release,
    ValidationCheck,
)
from releases.models.places import TargetKind
from releases.services import history
from tenants import tokens
from tenants.access import Actor, enter
from tenants.models import ApiToken, Membership, Tenant, User
from tenants.roles import Role

PASSWORD = "correct horse battery staple"
DIGEST = "sha256:9f3ac1d2" + "5b" * 26 + "e07b"
SIGNATURE = {
    "inputs": [
        {"name": "alcohol", "type": "double", "required": True},
        {"name": "malic_acid", "type": "double", "required": True},
    ],
    "outputs": [{"type": "long", "required": True}],
}


@dataclass(frozen=True)
class Cast:
    """The people of the tests."""

    acme: Tenant
    globex: Tenant
    ada: User
    ben: User
    cleo: User
    mallory: User

    def actor(self, user: User) -> Actor:
        """Somebody inside their own tenant."""
        return enter("globex" if user == self.mallory else "acme", user=user)


def cast() -> Cast:
    """Two tenants, four people."""
    acme, globex = tenant("acme", name="Acme"), tenant("globex", name="Globex")
    return Cast(
        acme=acme,
        globex=globex,
        ada=member(acme, "ada", Role.ADMINISTRATOR),
        ben=member(acme, "ben", Role.APPROVER),
        cleo=member(acme, "cleo", Role.VIEWER),
        mallory=member(globex, "mallory", Role.ADMINISTRATOR),
    )


def tenant(slug: str, **changes: Any) -> Tenant:
    return Tenant.objects.create(**{"slug": slug, "name": slug.capitalize(), **changes})


def member(of: Tenant, username: str, role: Role = Role.VIEWER, password: str = PASSWORD) -> User:
    """A person with a role; the log-in name is in lower case, the shown one is not."""
    user = User.objects.create_user(username, password=password, first_name=username.capitalize())
    Membership.objects.create(tenant=of, user=user, role=role.value)
    return user


def token(of: Tenant, role: Role = Role.VIEWER, **changes: Any) -> tuple[ApiToken, str]:
    """A token and its text."""
    defaults = {"name": f"{role.value}-bot", "created_by": "ada", "at": timezone.now()}
    return tokens.create(of, **{"role": role, **defaults, **changes})


def environment(of: Tenant, name: str = "production", **changes: Any) -> Environment:
    defaults = {"position": 1 if name == "production" else 0}
    return Environment.objects.create(**{"tenant": of, "name": name, **defaults, **changes})


def kubernetes(at: Environment, **changes: Any) -> KubernetesPlace:
    """The environment is on Kubernetes from now on."""
    at.target = TargetKind.SELDON
    at.save(update_fields=["target"])
    defaults = {
        "cluster": "main",
        "namespace": f"{at.tenant.slug}-{at.name}",
        "gateway_url": "https://models.example.com",
        "artifacts": f"s3://models/{at.tenant.slug}",
        "artifacts_secret": "models-s3",
    }
    place = {"tenant": at.tenant, "environment": at, **defaults, **changes}
    return KubernetesPlace.objects.create(**place)


def model(of: Tenant, name: str = "wine", **changes: Any) -> RegisteredModel:
    defaults = {"registry_name": f"{of.slug}-{name}", "description": ""}
    return RegisteredModel.objects.create(**{"tenant": of, "name": name, **defaults, **changes})


def version(of: RegisteredModel, text: str | None = "1.0.0", **changes: Any) -> ModelVersion:
    """A version; `text` None is one without the semantic tag."""
    number = of.versions.count() + 1
    row = ModelVersion(
        **{
            "tenant": of.tenant,
            "model": of,
            "registry_version": number,
            "run_id": f"{number:02x}5d2e81c07b",
            "source": f"models:/m-{number}",
            "digest": DIGEST,
            "size_bytes": 41_200_000,
            "signature": SIGNATURE,
            "metrics": {"accuracy": 0.94, "log_loss": 0.33},
            "registered_at": timezone.now() - timedelta(days=2),
            **changes,
        }
    )
    row.set_semantic(SemanticVersion.parse(text) if text else None)
    row.save()
    return row


def endpoint(at: Environment, of: RegisteredModel, **changes: Any) -> Endpoint:
    if changes.get("stable") and "stable_since" not in changes:
        changes["stable_since"] = timezone.now() - timedelta(days=1)
    return Endpoint.objects.create(**{"tenant": at.tenant, "environment": at, "model": of, **changes})


def baseline(
    of: Endpoint, requests_per_second: float = 50, error_rate: float = 0.002, **changes: Any
) -> dict[str, Any]:
    """What stable has done in the last ten minutes, as the sweep keeps it; until `at`, now unless told."""
    at = changes.pop("at", timezone.now()).timestamp()
    requests = round(60 * requests_per_second)
    latency = changes.pop("latency", ())
    errors = round(requests * error_rate)
    samples = [json.dumps((at - 60 * ago, 60.0, requests, errors, latency)) for ago in reversed(range(10))]
    stored: dict[str, Any] = {
        "ref": "stable-1",
        "at": at,
        "stable": of.stable_id,
        "samples": samples,
        "bounds_ms": [],
        "predictions": {},
        "self_test": None,
        **changes,
    }
    of.baseline = stored
    of.save(update_fields=["baseline"])
    return stored


def release(of: Endpoint, what: ModelVersion, phase: Phase = Phase.CANARY, **changes: Any) -> Release:
    """A release in a phase, as it would stand there with a plain plan; one line of history."""
    now = changes.pop("at", timezone.now())
    plan = RolloutPlan.from_json(changes.pop("plan", None))
    judged = phase in (Phase.CANARY, Phase.PAUSED)
    row = Release(
        **{
            "tenant": of.tenant,
            "endpoint": of,
            "version": what,
            "stable": of.stable,
            "plan": plan.to_json(),
            "plan_digest": plan.digest,
            "approvals_required": 0,
            "digest": what.digest,
            "requested_by": "ci-wine",
            "requested_by_identity": "token:1",
            "requested_at": now,
            "phase": phase.value,
            "phase_since": now,
            "reason": f"{phase.value.replace('_', ' ')} since a moment",
            "step": 1 if judged else 0,
            "split_candidate": plan.stages[0].split.candidate if judged and plan.stages else 0,
            "hold_since": now if judged else None,
            "finished_at": now if phase in TERMINAL else None,
            **changes,
        }
    )
    row.save(force_insert=True)
    history.append(row, from_phase="", reason="filed by ci-wine", actor=row.requested_by, at=row.requested_at)
    return row


def walk(of: Release, lines: Sequence[tuple[Phase, datetime, str]], actor: str = history.PORTAL) -> Release:
    """Take a release through phases, each a line of its history, as the reconciler would write them."""
    for phase, at, reason in lines:
        before = of.phase
        of.phase, of.phase_since, of.reason = phase.value, at, reason
        if phase is Phase.CANARY:
            of.step, of.hold_since = max(1, of.step), at
            of.split_candidate = of.rollout_plan().stages[of.step - 1].split.candidate
            of.started_at = of.started_at or at
        elif phase is Phase.PROMOTING:
            of.split_candidate, of.hold_since = 100, None
        elif phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED):
            of.split_candidate, of.hold_since = 0, None
        if phase in TERMINAL:
            of.finished_at = at
        of.row_version += 1
        of.save()
        history.append(of, from_phase=before, reason=reason, actor=actor, at=at)
    return of


def check(of: Release, name: str, outcome: str = "pass", **changes: Any) -> ValidationCheck:
    defaults = {"position": of.checks.count() + 1, "seconds": 0.2, "at": timezone.now()}
    return ValidationCheck.objects.create(
        **{"tenant": of.tenant, "release": of, "name": name, "outcome": outcome, **defaults, **changes}
    )


def approval(of: Release, by: User, **changes: Any) -> Approval:
    """A decision that counts: bound to the plan and the digest that the release has now."""
    return Approval.objects.create(
        **{
            "tenant": of.tenant,
            "release": of,
            "approved": True,
            "by": by,
            "by_name": by.username,
            "by_identity": f"user:{by.pk}",
            "plan_digest": of.plan_digest,
            "digest": of.digest,
            "at": timezone.now(),
            **changes,
        }
    )


def hold(of: Release, **changes: Any) -> Hold:
    return Hold.objects.create(
        **{
            "tenant": of.tenant,
            "endpoint": of.endpoint,
            "version": of.version,
            "release": of,
            "reason": "rolled back: 6.2 % errors",
            "placed_at": timezone.now(),
            "placed_by": history.PORTAL,
            **changes,
        }
    )


def health(name: str = "mlflow", state: str = "up", **changes: Any) -> ComponentHealth:
    return ComponentHealth.objects.create(
        **{"name": name, "state": state, "seen_at": timezone.now(), **changes}
    )


def moment(text: str) -> datetime:
    """ "2026-11-23 03:07:12" in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
