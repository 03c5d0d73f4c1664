"""The checks that compare: signature, metrics, the environment before."""

import copy
import json
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.release import Phase, Progress
from releases.domain.version import Change
from releases.models import Endpoint, ModelVersion, Release, ValidationCheck
from releases.services.validate import progress, validate
from releases.services.validate.quality import compare_metric, is_larger_better
from tests import factories
from tests.domain.test_composition import ENSEMBLE
from tests.fakes_registry import SIGNATURE
from tests.services.rig import Rig

COLUMN = {"name": "alcohol", "type": "double", "required": True}
WIDER: dict[str, Any] = {
    "inputs": [COLUMN, {"name": "hue", "type": "double", "required": True}],
    "outputs": SIGNATURE["outputs"],
}
OPTIONAL: dict[str, Any] = {
    "inputs": [COLUMN, {"name": "hue", "type": "double", "required": False}],
    "outputs": SIGNATURE["outputs"],
}


def checked(
    rig: Rig, change: Change = Change.MINOR, environment: str = "production", **logged: Any
) -> Release:
    """A version is registered, filed and validated."""
    version = rig.register(change, **logged)
    rig.works = False
    release = rig.file(version, environment)
    assert validate(release.pk, rig.world.ports, rig.store, rig.clock)
    return release


def serves(rig: Rig, version: ModelVersion) -> None:
    """The version is stable in production."""
    endpoint, _ = Endpoint.objects.get_or_create(
        tenant=rig.cast.acme, environment=rig.production, model=rig.model
    )
    endpoint.stable = version
    endpoint.save()


def succeeded(rig: Rig, version: ModelVersion) -> Release:
    """The version has been released to staging."""
    endpoint = factories.endpoint(rig.staging, rig.model, stable=version)
    return factories.release(endpoint, version, Phase.SUCCEEDED, at=rig.at)


def row(release: Release, name: str) -> ValidationCheck:
    return release.checks.get(name=name)


def reason(release: Release) -> str:
    work = progress([release])[release.pk]
    assert work.progress is Progress.FAILED
    return work.reason


# ---- signature -----------------------------------------------------------------------------------
def test_signature_breaking_change_sold_as_a_patch_fails_and_says_what(rig: Rig) -> None:
    serves(rig, rig.register())
    release = checked(rig, Change.PATCH, signature=WIDER)
    assert reason(release) == (
        "signature: required input hue (double) was added: "
        "that is a major change, filed as a patch (1.0.0 to 1.0.1)"
    )
    detail = row(release, "signature").detail
    assert (detail["compared_with"], detail["declared"], detail["needed"]) == ("1.0.0", "patch", "major")
    assert detail["differences"][0]["words"] == "required input hue (double) was added"
    assert row(release, "loads").outcome == "pass"  # independent of it


@pytest.mark.parametrize(
    ("change", "signature", "passes"),
    [
        (Change.MAJOR, WIDER, True),
        (Change.MINOR, WIDER, False),
        (Change.MINOR, OPTIONAL, True),
        (Change.PATCH, OPTIONAL, False),
        (Change.PATCH, SIGNATURE, True),
    ],
)
def test_signature_bump_has_to_cover_the_change(
    rig: Rig, change: Change, signature: dict[str, Any], passes: bool
) -> None:
    serves(rig, rig.register())
    assert (row(checked(rig, change, signature=signature), "signature").outcome == "pass") is passes


def test_signature_without_stable_is_compared_with_the_highest_version_below(rig: Rig) -> None:
    rig.register()
    rig.register(Change.MINOR, signature=WIDER)
    release = checked(rig, Change.PATCH, signature=WIDER)
    assert row(release, "signature").reason == "the same as that of 1.1.0"


@pytest.mark.parametrize("signature", [None, {}, {"outputs": SIGNATURE["outputs"]}])
def test_signature_missing_fails(rig: Rig, signature: dict[str, Any] | None) -> None:
    assert reason(checked(rig, signature=signature)).startswith("signature: the model has no signature")


def test_signature_of_a_first_version_only_has_to_be_there(rig: Rig) -> None:
    words = "present; there is no version before it to compare with"
    assert row(checked(rig), "signature").reason == words


# ---- metrics -------------------------------------------------------------------------------------
def test_metrics_worse_than_stable_fail_with_both_numbers(rig: Rig) -> None:
    serves(rig, rig.register(metrics={"accuracy": 0.94, "log_loss": 0.3, "leaves": 7.0}))
    release = checked(rig, metrics={"accuracy": 0.90, "log_loss": 0.2, "leaves": 900.0})
    assert reason(release) == "metrics: accuracy 0.9, was 0.94: worse than 1.0.0 by more than 2 %"
    accuracy, leaves, loss = row(release, "metrics").detail["metrics"]
    assert (accuracy["stable"], accuracy["candidate"], accuracy["outcome"]) == (0.94, 0.9, "fail")
    assert accuracy["change"] == pytest.approx(-0.0426, abs=1e-4)
    assert (leaves["outcome"], leaves["reason"]) == ("skipped", "no telling which way is better")
    assert loss["outcome"] == "pass"


def test_metrics_within_the_tolerance_of_the_environment_pass(rig: Rig) -> None:
    serves(rig, rig.register(metrics={"accuracy": 0.94}))
    rig.production.metric_tolerance = 0.05
    rig.production.save()
    release = checked(rig, metrics={"accuracy": 0.90})
    assert row(release, "metrics").reason == "accuracy within 5 % of 1.0.0 or better"


def test_metrics_that_cannot_be_compared_are_skipped_in_words(rig: Rig) -> None:
    assert row(checked(rig), "metrics").reason == "no stable version to compare with"
    Release.objects.all().update(phase="cancelled")
    serves(rig, rig.model.versions.get())
    release = checked(rig, metrics={"accuracy": 0.1})
    assert row(release, "metrics").reason == "no metric of 1.0.0 can be compared"


@pytest.mark.parametrize(
    ("name", "larger"),
    [
        ("accuracy", True),
        ("test_accuracy", True),
        ("val.F1-score", True),
        ("f1_macro", True),
        ("accuracy_score", True),
        ("roc_auc", True),
        ("r2", True),
        ("loss", False),
        ("val_loss", False),
        ("log_loss", False),
        ("mean_squared_error", False),
        ("RMSE", False),
        ("brier", False),
        ("training_accuracy_score", None),
        ("leaves", None),
        ("", None),
    ],
)
def test_metric_name_tells_which_way_is_better(name: str, larger: bool | None) -> None:
    assert is_larger_better(name) is larger


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.sampled_from(["accuracy", "rmse"]), numbers, numbers, st.floats(0, 1))
def test_compare_metric_better_or_equal_never_fails_and_the_mirror_image_agrees(
    name: str, stable: float, candidate: float, tolerance: float
) -> None:
    outcome = compare_metric(name, stable, candidate, tolerance)["outcome"]
    mirrored = compare_metric("rmse" if name == "accuracy" else "accuracy", -stable, -candidate, tolerance)
    assert outcome == mirrored["outcome"]
    better = candidate >= stable if name == "accuracy" else candidate <= stable
    if better:
        assert outcome == "pass"


# ---- the environment before ------------------------------------------------------------------------
def test_staging_first_fails_until_the_same_artifact_has_succeeded_there(rig: Rig) -> None:
    rig.production.requires_success_in = rig.staging
    rig.production.save()
    version = rig.register()
    rig.works = False
    release = rig.file(version)
    assert validate(release.pk, rig.world.ports, rig.store, rig.clock)
    assert "has not succeeded in staging yet: release it there first" in reason(release)
    Release.objects.filter(pk=release.pk).update(phase="rejected")
    version.refresh_from_db()
    first = succeeded(rig, version)
    again = rig.file(version)
    assert validate(again.pk, rig.world.ports, rig.store, rig.clock)
    assert progress([again])[again.pk].progress is Progress.PASSED
    assert row(again, "staging").detail == {"environment": "staging", "release": first.pk}


def test_staging_success_of_another_artifact_does_not_count(rig: Rig) -> None:
    rig.production.requires_success_in = rig.staging
    rig.production.save()
    other = rig.register()
    other.digest = f"sha256:{'0' * 64}"
    other.save()
    succeeded(rig, other)
    assert "has not succeeded in staging" in reason(checked(rig))


# ---- code and members ------------------------------------------------------------------------------
def files_of(rig: Rig, files: dict[str, bytes]) -> Release:
    return checked(rig, files={"MLmodel": b"run_id: run-1\n", **files})


def test_code_of_the_models_own_is_named_and_not_refused(rig: Rig) -> None:
    release = files_of(rig, {"code/odd.py": b"import os", "composed_model.py": b"1"})
    found = row(release, "code")
    assert found.outcome == "pass"
    assert found.reason == (
        "the model brings code of its own, 2 files, which the model server runs. "
        "Read before you approve: code/odd.py, composed_model.py"
    )
    assert found.detail["to_read"] == ["code/odd.py", "composed_model.py"]


def test_code_that_runs_beside_models_of_this_portal_is_told_apart(rig: Rig) -> None:
    ours = (settings.BASE_DIR / "serving/predictions.py").read_bytes()
    copied = files_of(rig, {"code/serving/predictions.py": ours})
    assert row(copied, "code").reason.endswith(
        "1 file, which the model server runs; all are serving, as this portal has it"
    )
    Release.objects.filter(pk=copied.pk).update(phase=Phase.REJECTED)
    altered = files_of(rig, {"code/serving/predictions.py": ours + b"#", "code/serving/answers.py": ours})
    assert row(altered, "code").detail["to_read"] == [
        "code/serving/answers.py",
        "code/serving/predictions.py",
    ]


def test_model_without_code_says_so(rig: Rig) -> None:
    assert row(checked(rig), "code").reason == "the model brings no code of its own"


def test_member_that_is_not_what_was_validated_here_fails(rig: Rig) -> None:
    member = rig.register()
    document = copy.deepcopy(ENSEMBLE)
    first = document["core"]["members"][0]
    first.update(
        model=rig.model.registry_name, version=member.version, registry_version=member.registry_version
    )
    described = {"MLmodel": json.dumps({"metadata": {"composition": document}}).encode()}
    ModelVersion.objects.filter(pk=member.pk).update(digest=first["digest"])
    release = checked(rig, files=described)
    assert row(release, "members").reason.endswith("1 of 2 members were validated here, and are the same")
    Release.objects.filter(pk=release.pk).update(phase=Phase.REJECTED)
    ModelVersion.objects.filter(pk=member.pk).update(digest="sha256:" + "cd" * 32)
    release = checked(rig, files={**described, "another": b""})
    assert "inside is not what was validated here" in row(release, "members").reason
    assert row(release, "members").outcome == "fail"
