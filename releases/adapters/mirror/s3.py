"""Copies artifacts to an S3 (AWS, MinIO, ...), where the models' pods fetch them from.

An artifact is a folder under a key that contains its digest (`artifact_uri`); beside the folder, not in it,
lies the marker, written last: where the marker is, all of the artifact is. So a copy that was interrupted, or
two at once, do no harm: what is there already with the same SHA-256 is left, the rest is written again.
Knows files and objects, not what is in them.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from releases.adapters.artifact_uri import ArtifactPlace, artifact_place, parse_artifacts
from releases.ports import Deployment, Refused, Unreachable

MARKER = ".complete"
PROBE = ".mlops-portal"  # the object that is written to try it
SHA256 = "sha256"  # the name in an object's metadata
CHUNK_BYTES = 1 << 20
PART_BYTES = 32 << 20  # larger files go in parts of this size
# What an upload may take between two answers: a store that flushes 32 MB to slow disks needs its time.
UPLOAD_SECONDS = 60.0
# The portal's credentials, or the clock, are wrong: an operator mends that, and the release waits.
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed"}
)
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, slots=True)
class S3MirrorConfig:
    """`endpoint`: the URL of the store, empty for AWS. `artifacts`: s3://bucket/prefix. `seconds`: what
    a question may take."""

    endpoint: str
    artifacts: str
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class _File:
    """One file of an artifact. `name` is relative, with "/"."""

    name: str
    path: Path
    size: int
    sha256: bytes


class S3Mirror:
    """Port `ArtifactMirror`. Threads may share it; nothing is connected before the first call."""

    def __init__(self, config: S3MirrorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._made_by = 0

    def address(self, deployment: Deployment) -> str:
        return self._place(deployment).uri

    def holds(self, deployment: Deployment) -> bool:
        """One question: is the marker there?"""
        place = self._place(deployment)
        client = self._client("asking", self._config.seconds, attempts=1)
        with self._told(place):
            return _head(client, place.bucket, place.key + MARKER) is not None

    def put(self, deployment: Deployment) -> None:
        """File by file; the marker when all of them are seen to be there."""
        place = self._place(deployment)
        client = self._client("uploading", UPLOAD_SECONDS, attempts=3)
        files = _files(deployment)
        with self._told(place):
            for file in files:
                self._bring(client, place, file)
            self._verify(client, place, files)
            marker = json.dumps(_contents(deployment, files)).encode()
            _put(client, place.bucket, place.key + MARKER, marker, hashlib.sha256(marker).digest())

    def examine(self) -> None:
        """Raise when the bucket is not there, or the portal may not look into it or write there."""
        bucket, prefix = parse_artifacts(self._config.artifacts)
        place = ArtifactPlace(bucket, "/".join(part for part in (prefix, PROBE) if part))
        client = self._client("asking", self._config.seconds, attempts=1)
        with self._told(place):
            client.list_objects_v2(Bucket=bucket, Prefix=place.key, MaxKeys=1)
            content = b"Written by the portal when it tries whether it may write here.\n"
            _put(client, bucket, place.key, content, hashlib.sha256(content).digest())

    def _bring(self, client: Any, place: ArtifactPlace, file: _File) -> None:
        """Write one file unless it is there already."""
        key = f"{place.key}/{file.name}"
        found = _head(client, place.bucket, key)
        if (
            found is not None
            and found["ContentLength"] == file.size
            and found.get("Metadata", {}).get(SHA256) == file.sha256.hex()
        ):
            return
        if file.size <= PART_BYTES:
            content = file.path.read_bytes()
            _put(client, place.bucket, key, content, file.sha256)
        else:
            _put_in_parts(client, place.bucket, key, file)

    def _verify(self, client: Any, place: ArtifactPlace, files: list[_File]) -> None:
        """The folder holds these files and no others: a pod fetches whatever lies there."""
        expected = {f"{place.key}/{file.name}": file.size for file in files}
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=f"{place.key}/")
        found = {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
        foreign = sorted(key for key in found if key not in expected and not key.endswith("/"))
        if foreign:
            raise Refused(
                f"s3://{place.bucket}/{foreign[0]} does not belong to the artifact, but a model server would "
                "fetch it: remove it, and see who may write there"
            )
        wrong = sorted(key for key, size in expected.items() if found.get(key) != size)
        if wrong:
            raise Unreachable(f"s3://{place.bucket}/{wrong[0]} is not there as it was written")

    def _place(self, deployment: Deployment) -> ArtifactPlace:
        return artifact_place(self._config.artifacts, deployment)

    def _client(self, purpose: str, seconds: float, attempts: int) -> Any:
        """The vendor's client, made at the first call: it must not be inherited over a fork."""
        with self._lock:
            if self._made_by != os.getpid():
                self._clients, self._made_by = {}, os.getpid()
            if purpose not in self._clients:
                self._clients[purpose] = _connect(self._config, seconds, attempts)
            return self._clients[purpose]

    @contextmanager
    def _told(self, place: ArtifactPlace) -> Iterator[None]:
        """Errors of the vendor as ours, in sentences."""
        from boto3 import exceptions as wrapped
        from botocore import exceptions as vendor

        store = f"the artifact store {self._config.endpoint or 'S3'}"
        try:
            yield
        except vendor.ClientError as error:
            raise _error(store, place.bucket, error.response) from error
        except vendor.NoCredentialsError as error:
            raise Unreachable(
                f"{store} cannot be asked: the portal has no credentials for it (AWS_ACCESS_KEY_ID, ...)"
            ) from error
        except (vendor.BotoCoreError, wrapped.Boto3Error, OSError) as error:
            if isinstance(error.__context__, vendor.ClientError):  # an upload in parts wraps it
                raise _error(store, place.bucket, error.__context__.response) from error
            raise Unreachable(f"{store} does not answer: {_short(str(error))}") from error


def _connect(config: S3MirrorConfig, seconds: float, attempts: int) -> Any:
    import boto3  # its import takes a third of a second: not in processes without a cluster
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=config.endpoint or None,
            config=Config(
                connect_timeout=config.seconds,
                read_timeout=seconds,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # Names of buckets are no host names of a store on an address of its own.
                s3={"addressing_style": "path" if config.endpoint else "auto"},
                # We give the SHA-256 ourselves; what else boto3 adds not every store understands.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    except (BotoCoreError, ValueError) as error:  # a profile that does not exist, an endpoint that is no URL
        raise Unreachable(f"the artifact store cannot be asked: {_short(str(error))}") from error


def _files(deployment: Deployment) -> list[_File]:
    """All files of the artifact, in order; in the portal's store there is nothing else."""
    folder = deployment.artifact
    if not folder.is_dir():
        raise Unreachable(f"the artifact of {deployment.ref} is not in the portal's store: {folder}")
    try:
        found = [(path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file()]
        return [_File(name, path, path.stat().st_size, _sha256(path)) for name, path in sorted(found)]
    except OSError as error:
        raise Unreachable(f"the artifact of {deployment.ref} cannot be read: {error}") from error


def _sha256(path: Path) -> bytes:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total.update(chunk)
    return total.digest()


def _contents(deployment: Deployment, files: list[_File]) -> Mapping[str, Any]:
    """What the marker says, for whoever looks into the bucket."""
    return {
        "digest": deployment.digest,
        "bytes": sum(file.size for file in files),
        "files": [{"name": f.name, "bytes": f.size, "sha256": f.sha256.hex()} for f in files],
    }


def _head(client: Any, bucket: str, key: str) -> Mapping[str, Any] | None:
    """What the store knows of an object; None when there is none."""
    from botocore.exceptions import ClientError

    try:
        found: Mapping[str, Any] = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _NOT_FOUND:
            return None
        # An answer to HEAD has no body, so it does not say why; one that has a body does.
        client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        raise
    return found


def _put(client: Any, bucket: str, key: str, content: bytes, sha256: bytes) -> None:
    """One object in one request; the store compares the SHA-256 with what arrives."""
    client.put_object(
        Bucket=bucket,
        Key=key,
        Body=content,
        ChecksumSHA256=base64.b64encode(sha256).decode(),
        Metadata={SHA256: sha256.hex()},
    )


def _put_in_parts(client: Any, bucket: str, key: str, file: _File) -> None:
    """A large file; the store compares the SHA-256 of each part, and the object appears with the last."""
    from boto3.s3.transfer import TransferConfig

    client.upload_file(
        str(file.path),
        bucket,
        key,
        ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": {SHA256: file.sha256.hex()}},
        Config=TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        ),
    )


def _error(store: str, bucket: str, answer: Mapping[str, Any]) -> Refused | Unreachable:
    """What the store said no with."""
    said = answer.get("Error", {})
    code, message = str(said.get("Code", "")), _short(str(said.get("Message", "")))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return Refused(f"{store} has no bucket {bucket}: create it, or correct the environment's artifacts")
    if code in _CREDENTIALS:
        return Unreachable(f"{store} does not accept the portal's credentials: {message or code}")
    if status == 403:
        return Refused(
            f"{store} does not let the portal into the bucket {bucket}, where it needs s3:GetObject, "
            f"s3:PutObject and s3:ListBucket: {message or code}"
        )
    if status >= 500 or status in (0, 408, 429):
        return Unreachable(f"{store} does not answer: {message or code or status}")
    return Refused(f"{store} refuses: {message or code or status}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"
