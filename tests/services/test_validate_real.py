"""Validation of really trained models: a real MLflow, the real probe in the models environment."""

from dataclasses import replace

import pytest
from django.conf import settings

from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.domain.release import Progress
from releases.domain.version import Change
from releases.models import ModelVersion, Release
from releases.services import catalog
from releases.services.validate import progress, validate
from tests import factories
from tests.mlflow_server import TrainedWines
from tests.services.rig import Rig


@pytest.mark.stack
def test_validate_real_models_passes_the_better_one_and_refuses_the_breaking_patch(
    rig: Rig, mlflow_server: str, wines: TrainedWines
) -> None:
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    probe = SubprocessProbe(SubprocessProbeConfig(settings.MODELS_PYTHON / "python", settings.BASE_DIR))
    ports = replace(rig.world.ports, registry=registry, probe=probe)
    rig.works = False

    def register(kind: str, change: Change) -> ModelVersion:
        logged = wines.logged[kind]
        return catalog.register_version(
            rig.ada,
            registry,
            model="wine",
            run_id=logged["run_id"],
            artifact_path=logged["artifact_path"],
            change=change,
            description=kind,
            at=rig.at,
        )

    def validated(version: ModelVersion) -> Release:
        release = rig.file(version)
        assert validate(release.pk, ports, rig.store, rig.clock)
        return release

    stable = register("baseline", Change.MINOR)
    factories.endpoint(rig.production, rig.model, stable=stable)
    breaking = validated(register("breaking", Change.PATCH))
    work = progress([breaking])[breaking.pk]
    assert work.progress is Progress.FAILED
    assert work.reason.startswith("signature: input hue (double) was removed")
    assert "that is a major change, filed as a patch (1.0.0 to 1.0.1)" in work.reason
    assert breaking.checks.get(name="loads").outcome == "pass"
    Release.objects.filter(pk=breaking.pk).update(phase="rejected")

    better = validated(register("better", Change.MINOR))
    assert progress([better])[better.pk].reason == "8 checks passed, 2 skipped"
    loads = better.checks.get(name="loads").detail
    assert len(loads["example"]["inputs"]) == 13
    assert loads["outputs"]
    assert "accuracy" in better.checks.get(name="metrics").reason

    release_of_better = Release.objects.get(pk=better.pk)
    release_of_better.endpoint.stable = better.version
    release_of_better.endpoint.previous = stable
    release_of_better.endpoint.save()
    catalog.announce(registry, release_of_better, rig.at)
    aliases = {v.number: set(v.aliases) for v in registry.list_versions(rig.model.registry_name)}
    assert aliases == {1: {"previous"}, 2: set(), 3: {"champion", "production"}}
