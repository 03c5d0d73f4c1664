"""Has it proven itself before? The same artifact in the environment that has to come first."""

from releases.domain.release import Phase
from releases.models import Release
from releases.services.checks import Result, failed, passed, skipped
from releases.services.validate.subject import Subject


def staging(subject: Subject) -> Result:
    """A release of the very same digest has succeeded in the environment that this one requires."""
    environment = subject.release.endpoint.environment
    first = environment.requires_success_in
    if first is None:
        return skipped(f"{environment.name} requires no other environment first")
    digest = subject.version.digest
    succeeded = (
        Release.objects.filter(
            endpoint__environment=first,
            endpoint__model=subject.version.model,
            phase=Phase.SUCCEEDED,
            digest=digest,
        )
        .order_by("-pk")
        .first()
    )
    if succeeded is None:
        words = (
            f"this artifact ({digest[:19]}…) has not succeeded in {first.name} yet: release it there first"
        )
        return failed(words, environment=first.name, digest=digest)
    when = f"{succeeded.finished_at:%Y-%m-%d %H:%M}" if succeeded.finished_at else "before"
    return passed(f"succeeded in {first.name} {when}", environment=first.name, release=succeeded.pk)
