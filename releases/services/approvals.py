"""Which approvals count: the one place that decides it.

An approval counts at the gate where the release stands, if it was given for the very plan and digest that
the release has now, by somebody who is not its requester; each identity counts once. A rejection stops the
release from any gate. Takes no decisions about the release itself: that is `domain.release.decide`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from releases.domain.release import Gate, gate_of
from releases.models import Approval, Release


def gates(releases: Sequence[Release]) -> dict[str, Gate]:
    """Release id -> the gate where it stands now; one query for all of them.

    The releases should come with `endpoint__environment` selected, or each costs two queries more.
    """
    decisions: defaultdict[str, list[Approval]] = defaultdict(list)
    for decision in Approval.objects.filter(release__in=[release.pk for release in releases]):
        decisions[decision.release_id].append(decision)
    return {release.pk: _gate(release, decisions) for release in releases}


def counts(approval: Approval, release: Release) -> bool:
    """Whether a decision was given for what the release is now, and by somebody who may decide."""
    given_for = (approval.plan_digest, approval.digest)
    is_requester = approval.by_identity == release.requested_by_identity
    return given_for == (release.plan_digest, release.digest) and not is_requester


def required_at(release: Release, gate: int) -> int:
    """How many have to agree at a gate: 0 is the one before deployment, k that for leaving stage k."""
    if gate == 0:
        return release.approvals_required
    stages = release.rollout_plan().stages
    if gate > len(stages) or not stages[gate - 1].approval:
        return 0
    return max(1, release.endpoint.environment.approvals_required)


def _gate(release: Release, decisions: Mapping[str, Sequence[Approval]]) -> Gate:
    number = gate_of(release.rollout_plan(), release.state())
    valid = [decision for decision in decisions.get(release.pk, ()) if counts(decision, release)]
    refused = next((decision for decision in valid if not decision.approved), None)
    expires = release.approvals_expire_at if number == 0 else None
    return Gate(
        required=required_at(release, number),
        given=len({d.by_identity for d in valid if d.approved and d.gate == number}),
        rejection=None if refused is None else _sentence(refused),
        expires_at=None if expires is None else expires.timestamp(),
    )


def _sentence(refused: Approval) -> str:
    return f"rejected by {refused.by_name}: {refused.comment}".rstrip(": ")
