"""Would the serving target take it? The exact manifests, tried dry; nothing is applied."""

from dataclasses import asdict

from releases.services import deployments, manifests
from releases.services.checks import Result, failed, passed
from releases.services.validate.subject import Subject


def preflight(subject: Subject) -> Result:
    """The target would accept the manifests, and they would work; they are kept for the approvers."""
    release, version = subject.release, subject.version
    wanted = deployments.describe(release.endpoint, version, version.digest, subject.store)
    preview = subject.ports.preflight.preview(wanted)
    manifests.keep(release, preview, subject.clock())
    if preview.problems:
        return failed(
            manifests.in_words(preview.problems), problems=[asdict(problem) for problem in preview.problems]
        )
    lines = len(preview.after.splitlines())
    return passed(f"the target would take the manifests ({lines} lines)")
