"""The commit that a release names: whether its tenant may have it told, and what its status says.

Sends nothing; knows no code host.
"""

from django.conf import settings
from django.urls import reverse

from releases.domain.commit import Allowances, Commit
from releases.domain.errors import Invalid
from releases.domain.release import Phase
from releases.models import Release, Transition
from releases.ports import CommitStatus
from tenants.models import Tenant

LONGEST_DESCRIPTION = 140
ENDS = {
    Phase.SUCCEEDED: "success",
    Phase.ROLLED_BACK: "failure",
    Phase.REJECTED: "failure",
    Phase.CANCELLED: "error",
}


def check(tenant: Tenant, commit: Commit) -> None:
    """Raises `Invalid`, naming the field, when no status of it could be set."""
    if not settings.GITHUB_TOKEN:
        _refuse("this portal sets no statuses of commits (it has no GITHUB_TOKEN)")
    if not Allowances.parse(settings.GITHUB_STATUS_REPOSITORIES).allow(tenant.slug, commit.repository):
        _refuse(f"{tenant.slug} may not set statuses in {commit.repository} (GITHUB_STATUS_REPOSITORIES)")


def _refuse(message: str) -> None:
    raise Invalid(f"commit.repository: {message}", fields={"commit.repository": [message]})


def of(release: Release, transition: Transition) -> CommitStatus:
    """What is told of a change of phase."""
    phase = Phase(transition.to_phase)
    endpoint = release.endpoint
    words = f"{phase.value.replace('_', ' ')}: {transition.reason}"
    page = reverse("web:release", args=[release.tenant.slug, release.pk])
    return CommitStatus(
        repository=release.commit_repository,
        sha=release.commit_sha,
        state=ENDS.get(phase, "pending"),
        context=f"mlops-portal/{endpoint.environment.name}/{endpoint.model.name}",
        description=words if len(words) <= LONGEST_DESCRIPTION else f"{words[: LONGEST_DESCRIPTION - 1]}…",
        target_url=settings.PORTAL_URL + page,
    )
