"""The factory: every port from the settings, one instance per process, nothing unknown."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from releases.adapters import factory
from releases.ports import Unreachable


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    factory.ports.cache_clear()
    yield
    factory.ports.cache_clear()


def test_ports_of_the_local_target_are_made_once() -> None:
    assert factory.ports("local") is factory.ports("local")


def test_ports_use_the_addresses_of_the_settings(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = "http://user:hidden@127.0.0.1:9"
    ports = factory.ports("local")
    with pytest.raises(Unreachable, match=r"MLflow at 127\.0\.0\.1:9 cannot be reached") as caught:
        ports.registry.list_versions("wine")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("kind", ["", "Local", "kubernetes"])
def test_ports_of_an_unknown_kind_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown kind of serving target"):
        factory.ports(kind)
