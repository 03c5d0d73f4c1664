"""Where an artifact lies in the object store that the models' pods fetch from. Pure; the mirror puts it just
here, and the serving target points just here.

The place holds the digest and nothing else is ever put there, so what a pod fetches cannot change.
"""

import re
from dataclasses import dataclass

from releases.ports import Deployment, Refused

_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-zA-Z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArtifactPlace:
    """A folder of a bucket; `key` has no slash at its ends."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def artifact_place(artifacts: str, deployment: Deployment) -> ArtifactPlace:
    """`artifacts` is what the environment says: s3://bucket or s3://bucket/prefix. `Refused` when it, or the
    digest, cannot be part of a URI."""
    bucket, key = parse_artifacts(artifacts)
    digest = _DIGEST.fullmatch(deployment.digest)
    if not digest:
        raise Refused(f"{deployment.digest[:80]!r} is not the digest of an artifact")
    parts = [key, deployment.tenant, deployment.model, deployment.version, digest[1].lower()]
    return ArtifactPlace(bucket, "/".join(part for part in parts if part))


def parse_artifacts(artifacts: str) -> tuple[str, str]:
    """Bucket and prefix (without slashes at its ends); `Refused` with what is expected."""
    match = _BUCKET.fullmatch(artifacts)
    if not match:
        raise Refused(
            f"{artifacts[:120]!r} is not the address of an artifact store: expected s3://bucket/prefix"
        )
    return match[1], (match[2] or "").strip("/")
