"""The exact manifests of a release: looked at before anything is applied, and kept for whoever asks later.

Three moments: in validation, so that approvers see them; right before they are applied, because days may
lie between; and when the release has ended. An approval is bound to the plan and the digest, not to the
manifests: these name everything that serves at the endpoint, and may have changed for good reasons. So they
are tried again, and a difference is a line of the history.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from releases import ports
from releases.domain.release import Phase
from releases.models import Environment, Release, ReleaseManifest
from releases.ports import Preflight, Preview, Problem, Refused
from releases.services import deployments, history
from releases.services.artifacts import ArtifactStore

logger = logging.getLogger(__name__)

MOST_PROBLEMS = 20
# What a release left can be seen until another changes it; who looked in vain for so long gives up.
LOOKED_FOR = timedelta(hours=1)
ENDED_WITH_TRAFFIC = (Phase.SUCCEEDED, Phase.ROLLED_BACK)
BEFORE_DEPLOYMENT = (Phase.VALIDATING, Phase.AWAITING_APPROVAL, Phase.REJECTED)


def keep(release: Release, preview: Preview, at: datetime) -> None:
    """What was there before the release, and what it would apply, as they are seen now."""
    ReleaseManifest.objects.update_or_create(
        release=release,
        defaults={
            "tenant_id": release.tenant_id,
            "before": preview.before,
            "after": preview.after,
            "at": at,
        },
    )


def in_words(problems: Sequence[Problem]) -> str:
    """One line a problem, each with its field."""
    lines = [f"{problem.field}: {problem.message}" for problem in problems[:MOST_PROBLEMS]]
    left = len(problems) - len(lines)
    return "\n".join([*lines, f"and {left} more"] if left else lines)


def try_dry(release: Release, wanted: ports.Deployment, preflight: Preflight, at: datetime) -> None:
    """Look at the manifests once more before they are applied for the first time. `Refused` with all
    problems; a difference to what was seen in validation is written down."""
    known = ReleaseManifest.objects.filter(release=release).first()
    if known is not None and known.applied_at is not None:
        return
    preview = preflight.preview(wanted)
    if preview.problems:
        raise Refused(in_words(preview.problems).replace("\n", "; "))
    with transaction.atomic():
        if known is not None and known.after != preview.after:
            locked = Release.objects.select_for_update().get(pk=release.pk)
            changed = "the manifests are no longer those of the validation; what is applied is kept now"
            history.append(locked, from_phase=locked.phase, reason=changed, actor=history.PORTAL, at=at)
        if known is None or (known.before, known.after) != (preview.before, preview.after):
            keep(release, preview, at)


def note_applied(release: Release, at: datetime) -> None:
    """The target has taken them; the first time counts."""
    ReleaseManifest.objects.filter(release=release, applied_at__isnull=True).update(applied_at=at)


def record_ends(
    environments: Sequence[Environment], preflight: Preflight, store: ArtifactStore, at: datetime
) -> None:
    """Keep what releases that have just ended left behind, unless another has begun to change it. Raises
    `Unreachable`."""
    waiting = ReleaseManifest.objects.filter(
        ended_at__isnull=True,
        release__phase__in=ENDED_WITH_TRAFFIC,
        release__finished_at__gte=at - LOOKED_FOR,
        release__endpoint__environment__in=environments,
    ).select_related(
        "release__endpoint__tenant",
        "release__endpoint__environment",
        "release__endpoint__model",
        "release__version",
    )
    for kept in waiting:
        release = kept.release
        later = Release.objects.filter(endpoint=release.endpoint_id, pk__gt=release.pk)
        if later.exclude(phase__in=BEFORE_DEPLOYMENT).exists():
            continue
        wanted = deployments.describe(release.endpoint, release.version, release.digest, store)
        try:
            seen = preflight.preview(wanted)
        except Refused as error:
            logger.warning("what release %s left cannot be seen: %s", release.pk, error)
            continue
        if (
            seen.problems and not seen.before
        ):  # that nothing could be seen does not mean that nothing is there
            logger.warning("what release %s left cannot be seen: %s", release.pk, in_words(seen.problems))
            continue
        ReleaseManifest.objects.filter(pk=kept.pk).update(ended=seen.before, ended_at=at)
