"""The release pipeline on real engines: it files a release, and its run executed again files none."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings

from mlops_portal.stack.ports import automatic
from pipelines.surroundings import Surroundings, surroundings
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.api import catalog
from releases.models import ModelVersion, Release
from serving.errors import Refused, Unreachable
from tenants.roles import Role
from tests import factories
from tests.serving.own_redis import OwnRedis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path, automatic("127.0.0.1", None, set()))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def portal(
    mlflow_server: str, transactional_db: None, live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The portal over HTTP on a real MLflow; where it is, and CI's token."""
    ports = SimpleNamespace(registry=MLflowRegistry(MLflowConfig(mlflow_server)))
    monkeypatch.setattr(catalog.factory, "ports", lambda kind: ports)
    acme = factories.cast().acme
    factories.environment(acme, "staging")
    _, token = factories.token(acme, Role.REQUESTER)
    return {"PORTAL_URL": live_server.url, "PORTAL_TOKEN": token, "PORTAL_TENANT": "acme"}


@pytest.mark.stack
@pytest.mark.timeout(400)
def test_pipeline_files_a_release_and_the_same_run_again_files_none(
    portal: dict[str, str], mlflow_server: str, own_redis: OwnRedis, tmp_path: Path
) -> None:
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PORTAL_VAR": str(tmp_path),
        "MLFLOW_TRACKING_URI": mlflow_server,
        "FEATURE_STORE": str(tmp_path / "features"),
        "FEATURE_ONLINE_URL": f"127.0.0.1:{own_redis.port}/1",
        **portal,
    }

    def executed(*arguments: str) -> str:
        ran = subprocess.run(
            [settings.MODELS_PYTHON / "python", "-m", "pipelines.release", *arguments],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    printed = executed()
    assert printed.startswith("pipeline: bottles 1.0.0 filed for staging, validating: ")
    release = Release.objects.get()
    run_id = re.search(r"^run (\S+);", printed, re.MULTILINE)[1]  # type: ignore[index]
    assert run_id in release.note
    assert (release.version.version, release.endpoint.model.name) == ("1.0.0", "bottles")
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    assert registry.get_version("bottles", 1).metrics["accuracy"] > 0.9

    again = executed("--run-id", run_id)
    assert again.startswith("pipeline: bottles 1.0.0 had been filed before for staging, validating: ")
    assert Release.objects.get() == release
    assert ModelVersion.objects.count() == 1
    assert len(registry.list_versions("bottles")) == 1
    assert (tmp_path / "zenml").is_dir()


def written(var: Path, url: str) -> None:
    """What a stack leaves in its folder."""
    lines = {
        "PORTAL_URL": url,
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "FEATURE_STORE": "'/a folder'",
        "FEATURE_ONLINE_URL": "127.0.0.1:1/1",
    }
    (var / "stack.env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


def test_surroundings_where_no_stack_ever_ran_say_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no stack has ever run in .*: start one with `make run`"):
        surroundings({}, tmp_path)


def test_surroundings_of_a_stack_that_was_stopped_say_that_none_is_running(tmp_path: Path) -> None:
    written(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"no stack is running in .*127\.0\.0\.1:9 does not answer"):
        surroundings({"PORTAL_TOKEN": "t", "PORTAL_TENANT": "acme"}, tmp_path)


def test_surroundings_without_a_token_say_how_to_make_one(tmp_path: Path) -> None:
    written(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(Refused, match="create_token main"):
        surroundings({}, tmp_path)


def test_surroundings_of_a_running_demo_need_nothing_else(tmp_path: Path, live_server: Any) -> None:
    written(tmp_path, live_server.url)
    (tmp_path / "demo.json").write_text('{"tenant": "acme", "tokens": {"ci-wine": "t"}}')
    found: Surroundings = surroundings({}, tmp_path)
    assert (found.portal.url, found.portal.tenant, found.portal.token) == (live_server.url, "acme", "t")
    assert found.variables["FEATURE_STORE"] == "/a folder"
