"""The engines that several contract suites share: one Envoy and two models per module."""

from collections.abc import Iterator

import pytest

from tests.adapters.engines import Gateway, Model, model, running_gateway


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("envoy")) as running:
        yield running


@pytest.fixture(scope="module")
def red() -> Iterator[Model]:
    with model("red") as running:
        yield running


@pytest.fixture(scope="module")
def white() -> Iterator[Model]:
    with model("white") as running:
        yield running
