"""The system checks of what is set for model processes: each bad value is named, secrets are not told."""

import base64

import pytest
from pytest_django import Settings

from mlops_portal.checks import check_beside_models, check_commit_statuses, check_mlflow_webhook

KEY = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()


@pytest.mark.parametrize(
    ("name", "value", "is_right"),
    [
        ("MODEL_CACHE_URL", "", True),
        ("MODEL_CACHE_URL", "redis://127.0.0.1:6390/0", True),
        ("MODEL_CACHE_URL", "rediss://:secret@cache.example", True),
        ("MODEL_CACHE_URL", "127.0.0.1:6390", False),
        ("MODEL_ENCRYPTION_KEY", KEY, True),
        ("MODEL_ENCRYPTION_KEY", f"{KEY},{KEY}", True),
        ("MODEL_ENCRYPTION_KEY", f"{KEY},", False),
        ("MODEL_ENCRYPTION_KEY", KEY[:-4], False),
        ("MODEL_ENCRYPTION_KEY", "not a key!", False),
        ("FEATURE_STORE", "/var/lib/portal/feature-store", True),
        ("FEATURE_STORE", "feature-store", False),
        ("FEATURE_ONLINE_URL", "127.0.0.1:6390/1", True),
        ("FEATURE_ONLINE_URL", "redis://127.0.0.1:6390/1", False),
        ("FEATURE_ONLINE_URL", "127.0.0.1:6390", False),
    ],
)
def test_settings_beside_models_with_a_bad_value_are_named(
    settings: Settings, name: str, value: str, is_right: bool
) -> None:
    setattr(settings, name, value)
    errors = check_beside_models()
    assert [error.id for error in errors] == ([] if is_right else ["mlops_portal.E006"])
    assert all(error.msg.startswith(f"{name} is ") for error in errors)
    assert not any(KEY[:-4] in error.msg for error in errors)


@pytest.mark.parametrize(
    ("secret", "window", "errors"),
    [("", 300, 0), ("s" * 32, 10, 0), ("too short to be one", 300, 1), ("", 3601, 1), ("x", 0, 2)],
)
def test_secret_and_window_of_the_webhook_are_held_against_what_is_safe(
    settings: Settings, secret: str, window: int, errors: int
) -> None:
    settings.MLFLOW_WEBHOOK_SECRET, settings.MLFLOW_WEBHOOK_WINDOW = secret, window
    found = check_mlflow_webhook()
    assert [error.id for error in found] == ["mlops_portal.E007"] * errors
    assert not any("too short to be one" in error.msg for error in found)


@pytest.mark.parametrize(
    ("token", "repositories", "errors"),
    [
        ("", "", 0),
        ("secret-token", "acme=acme/*;globex=globex/models", 0),
        ("secret-token", "", 0),
        ("", "acme=acme/*", 1),
        ("secret-token", "acme", 1),
        ("secret-token\n", "", 1),
        ("", "*=*", 2),
    ],
)
def test_commit_statuses_are_held_against_what_can_be_read_and_done(
    settings: Settings, token: str, repositories: str, errors: int
) -> None:
    settings.GITHUB_TOKEN, settings.GITHUB_STATUS_REPOSITORIES = token, repositories
    found = check_commit_statuses()
    assert [error.id for error in found] == ["mlops_portal.E008"] * errors
    assert not any("secret-token" in error.msg for error in found)


def test_redis_of_the_portal_is_none_for_models(settings: Settings) -> None:
    settings.MODEL_CACHE_URL = settings.REDIS_URL
    [error] = check_beside_models()
    assert error.msg == "MODEL_CACHE_URL is the same as REDIS_URL."
