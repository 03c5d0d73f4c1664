"""The composer on the real command: a model composed from another's document, and what cannot be."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from releases.adapters.composer.subprocess import SubprocessComposer, SubprocessComposerConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.domain.composition import parse, recomposed
from releases.ports import Refused, Unreachable
from releases.services import artifacts
from releases.services.mlmodel import composition_document
from releases.services.pickle_scan import scan
from tests.mlflow_server import TrainedWines

NOBODY = "http://127.0.0.1:9"
SPEC: dict[str, Any] = {
    "model": "wines-composed",
    "change": "minor",
    "core": {"kind": "single", "members": {"only": {"model": "wines-inside", "version": "1.0.0"}}},
}


def composer(registry: str, python: Path | None = None) -> SubprocessComposer:
    python = python or settings.MODELS_PYTHON / "python"
    return SubprocessComposer(
        SubprocessComposerConfig(python, settings.BASE_DIR, registry, {"MODEL_CACHE_URL": "redis://told/0"})
    )


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_compose_logs_a_model_and_its_own_document_composes_the_next(
    mlflow_server: str, wines: TrainedWines, tmp_path: Path
) -> None:
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    for kind, version in (("baseline", "1.0.0"), ("better", "1.1.0")):
        logged = wines.logged[kind]
        tags = {"semantic_version": version}
        registry.register("wines-inside", logged["run_id"], logged["artifact_path"], tags, "")
    made = composer(mlflow_server).compose(SPEC, 120)
    first = registry.register("wines-composed", made.run_id, made.artifact_path, {}, "")
    assert first.composition is not None
    spec = recomposed(first.composition, "only", "1.1.0", ())
    again = composer(mlflow_server).compose(spec, 120)
    second = registry.register("wines-composed", again.run_id, again.artifact_path, {}, "")
    assert second.composition is not None
    assert parse(second.composition).summary == "wines-inside 1.1.0"

    registry.download("wines-composed", second.number, tmp_path)
    assert composition_document(tmp_path) == second.composition
    found = scan(tmp_path)
    assert found.dangerous == ()
    assert any("composed_model.py: code" in note for note in found.notes)
    registry.download("wines-inside", 2, inside := tmp_path.with_name("inside"))
    assert artifacts.digest(inside) == parse(second.composition).members[0].digest
    with pytest.raises(
        Refused, match=r"^spec\.yaml:\d+:\d+: core\.members\.only\.version: .* has no version 9\.9\.9"
    ):
        composer(mlflow_server).compose(recomposed(second.composition, "only", "9.9.9", ()), 60)


def test_compose_without_a_registry_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="MLflow could not"):
        composer(NOBODY).compose(SPEC, 120)


def test_compose_that_takes_too_long_is_ended() -> None:
    with pytest.raises(Refused, match=r"not composed within 0\.2 s"):
        composer(NOBODY).compose(SPEC, 0.2)


def script(folder: Path, text: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_compose_process_sees_what_models_see_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "hidden-from-models")
    seen = tmp_path / "seen"
    python = script(tmp_path, f"env > {seen}; exit 2")
    with pytest.raises(Refused, match="it said nothing"):
        composer(NOBODY, python).compose(SPEC, 10)
    assert "MODEL_CACHE_URL=redis://told/0" in seen.read_text()
    assert "hidden-from-models" not in seen.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo nonsense", "did not say what it has composed"),
        ("echo '{}'", "did not say what it has composed"),
        ("kill -KILL $$", "ended by SIGKILL"),
        ("echo Traceback >&2; echo 'ValueError: odd' >&2; exit 1", "composing failed: ValueError: odd"),
        ("sleep 60 & sleep 60", "not composed within"),
    ],
)
def test_compose_that_goes_wrong_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        composer(NOBODY, script(tmp_path, text)).compose(SPEC, 1)
