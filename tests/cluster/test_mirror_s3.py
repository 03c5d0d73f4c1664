"""Artifacts in a real S3: whole or not there, whoever interrupts; and fetched by Seldon's own initialiser."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from releases.adapters.artifact_uri import artifact_place
from releases.adapters.mirror import s3 as mirror_s3
from releases.adapters.mirror.s3 import S3Mirror, S3MirrorConfig
from releases.ports import Deployment, Refused, Unreachable
from releases.services import artifacts
from tests.cluster.s3 import PROGRAM, S3Server, s3

__all__ = ["s3"]

pytestmark = pytest.mark.cluster

FILES = {
    "MLmodel": b"flavors:\n  python_function: {}\n",
    "model.skops": bytes(range(256)) * 40,
    "code/wine & cheese.py": b"print('in vino veritas')\n",
    "code/empty.py": b"",
    "metadata/r\xc3\xa9sum\xc3\xa9.txt".encode("latin1").decode(): b"accents",
}


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and the portal's credentials."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:60].strip("-")
    (s3.folder / name).mkdir(exist_ok=True)
    return name


@pytest.fixture
def mirror(s3: S3Server, bucket: str) -> S3Mirror:
    return S3Mirror(S3MirrorConfig(s3.endpoint, f"s3://{bucket}/models", seconds=2))


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    folder = tmp_path / "artifact"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    digest = artifacts.digest(folder)
    return Deployment("acme-wine", "acme", "production", "wine", "1.4.0", digest, folder)


def stored(server: S3Server, bucket: str, deployment: Deployment) -> Path:
    """The folder of the artifact in the store."""
    return server.folder / bucket / artifact_place(f"s3://{bucket}/models", deployment).key


def initialise(server: S3Server, uri: str, into: Path) -> None:
    """What Seldon's storage initialiser does with a model's URI, configured by the pod's secret alone."""
    subprocess.run(
        ["rclone", "copy", "-v", "--config", "/dev/null", uri, str(into)],
        check=True,
        env={**server.secret, "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
    )


def test_artifact_is_not_held_before_and_held_after_it_was_put(
    mirror: S3Mirror, deployment: Deployment
) -> None:
    assert not mirror.holds(deployment)
    mirror.put(deployment)
    assert mirror.holds(deployment)
    mirror.put(deployment)
    assert not mirror.holds(replace(deployment, digest="sha256:" + "0" * 64))


def test_initialiser_fetches_just_what_was_released(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment, tmp_path: Path
) -> None:
    mirror.put(deployment)
    initialise(s3, artifact_place(f"s3://{bucket}/models", deployment).uri, tmp_path / "mnt")
    assert artifacts.digest(tmp_path / "mnt") == deployment.digest


def test_large_file_goes_in_parts_and_arrives_whole(
    s3: S3Server,
    bucket: str,
    mirror: S3Mirror,
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror_s3, "PART_BYTES", 5 << 20)
    (deployment.artifact / "weights.bin").write_bytes(os.urandom(12 << 20))
    large = replace(deployment, digest=artifacts.digest(deployment.artifact))
    mirror.put(large)
    mirror.put(large)
    initialise(s3, artifact_place(f"s3://{bucket}/models", large).uri, tmp_path / "mnt")
    assert artifacts.digest(tmp_path / "mnt") == large.digest


def test_copy_that_was_interrupted_is_not_held_and_goes_on_where_it_ended(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    put = mirror_s3._put

    def dying(client: object, of: str, key: str, content: bytes, sha256: bytes) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt  # kill -9
        written.append(key)
        put(client, of, key, content, sha256)

    monkeypatch.setattr(mirror_s3, "_put", dying)
    with pytest.raises(KeyboardInterrupt):
        mirror.put(deployment)
    assert not mirror.holds(deployment)
    first = list(written)

    def living(client: object, of: str, key: str, content: bytes, sha256: bytes) -> None:
        written.append(key)
        put(client, of, key, content, sha256)

    monkeypatch.setattr(mirror_s3, "_put", living)
    mirror.put(deployment)
    assert mirror.holds(deployment)
    assert len(set(written)) == len(written) == len(FILES) + 1  # none twice; the marker is the last
    assert written[-1].endswith(".complete")
    assert written[:2] == first
    assert artifacts.digest(stored(s3, bucket, deployment)) == deployment.digest


def test_file_that_somebody_changed_in_the_store_is_written_again(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment
) -> None:
    mirror.put(deployment)
    client = mirror._client("uploading", 5, 1)
    key = artifact_place(f"s3://{bucket}/models", deployment).key
    content = FILES["MLmodel"].replace(b"python", b"pythom")  # as long as the right one
    client.put_object(Bucket=bucket, Key=f"{key}/MLmodel", Body=content)
    mirror.put(deployment)
    assert artifacts.digest(stored(s3, bucket, deployment)) == deployment.digest


def test_marker_is_not_part_of_the_model_and_says_what_is(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment
) -> None:
    mirror.put(deployment)
    folder = stored(s3, bucket, deployment)
    said = json.loads(folder.with_name(folder.name + ".complete").read_text())
    assert said["digest"] == deployment.digest
    assert {file["name"]: file["bytes"] for file in said["files"]} == {
        name: len(content) for name, content in FILES.items()
    }
    assert said["bytes"] == artifacts.size(folder)


def test_foreign_file_in_the_folder_is_refused_by_name(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment
) -> None:
    folder = stored(s3, bucket, deployment)
    folder.mkdir(parents=True)
    (folder / "backdoor.py").write_text("import os")
    with pytest.raises(Refused, match=r"wine/1\.4\.0/.*/backdoor\.py does not belong to the artifact"):
        mirror.put(deployment)
    assert not mirror.holds(deployment)


def test_two_workers_at_once_do_no_harm(
    s3: S3Server, bucket: str, mirror: S3Mirror, deployment: Deployment
) -> None:
    failed: list[BaseException] = []

    def copy() -> None:
        try:
            S3Mirror(mirror._config).put(deployment)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=copy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert mirror.holds(deployment)
    assert artifacts.digest(stored(s3, bucket, deployment)) == deployment.digest


Call = Callable[[S3Mirror, Deployment], object]
BOTH: list[Call] = [S3Mirror.holds, S3Mirror.put]


def test_missing_bucket_is_refused_with_its_name(s3: S3Server, bucket: str, deployment: Deployment) -> None:
    mirror = S3Mirror(S3MirrorConfig(s3.endpoint, "s3://nowhere-at-all/models"))
    with pytest.raises(Refused, match="has no bucket nowhere-at-all: create it, or correct"):
        mirror.put(deployment)


@pytest.mark.parametrize("call", BOTH)
def test_wrong_secret_is_unreachable_and_says_credentials(
    mirror: S3Mirror, deployment: Deployment, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(Unreachable, match="does not accept the portal's credentials"):
        call(mirror, deployment)


@pytest.mark.parametrize("call", BOTH)
def test_no_credentials_are_told(
    mirror: S3Mirror, deployment: Deployment, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unreachable, match="no credentials for it"):
        call(mirror, deployment)


@pytest.fixture
def guest(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are good, of somebody who may do nothing."""
    common = [str(PROGRAM), "admin", "--allow-insecure", "--endpoint-url", s3.endpoint]
    common += ["--access", s3.environment["AWS_ACCESS_KEY_ID"]]
    common += ["--secret", s3.environment["AWS_SECRET_ACCESS_KEY"]]
    guest = ["--access", "guest", "--secret", "guest-secret", "--role", "user"]
    subprocess.run([*common, "create-user", *guest], capture_output=True, timeout=20)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "guest")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guest-secret")


@pytest.mark.parametrize("call", BOTH)
def test_account_without_rights_is_refused_and_told_which_it_needs(
    mirror: S3Mirror, deployment: Deployment, call: Call, guest: None
) -> None:
    with pytest.raises(Refused, match="needs s3:GetObject, s3:PutObject and s3:ListBucket"):
        call(mirror, deployment)


@pytest.mark.parametrize("call", BOTH)
def test_nobody_listening_is_unreachable_with_the_address(
    bucket: str, deployment: Deployment, call: Call
) -> None:
    mirror = S3Mirror(S3MirrorConfig("http://127.0.0.1:9", f"s3://{bucket}/models"))
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 does not answer"):
        call(mirror, deployment)


def test_store_that_hangs_is_unreachable_within_its_time_and_then_works_again(
    s3: S3Server, bucket: str, deployment: Deployment
) -> None:
    mirror = S3Mirror(S3MirrorConfig(s3.endpoint, f"s3://{bucket}/models", seconds=0.5))
    s3.stop()
    try:
        with pytest.raises(Unreachable, match="does not answer"):
            mirror.holds(deployment)
    finally:
        s3.go_on()
    mirror.put(deployment)
    assert mirror.holds(deployment)


def test_artifact_that_vanished_from_the_portal_is_told(mirror: S3Mirror, deployment: Deployment) -> None:
    shutil.rmtree(deployment.artifact)
    with pytest.raises(Unreachable, match="the artifact of acme-wine"):
        mirror.put(deployment)
    assert not mirror.holds(deployment)
