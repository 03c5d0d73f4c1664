"""Ports: named ones are checked before anything starts, automatic ones are found and remembered."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_portal.stack.errors import PortTaken, StackError
from mlops_portal.stack.ports import PortWish, choose, model_ports, wishes

LOOPBACK = "127.0.0.1"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_wishes_without_settings_are_the_documented_defaults() -> None:
    assert wishes({}, ["PORTAL_PORT", "GATEWAY_PORT", "MLFLOW_PORT"]) == [
        PortWish("PORTAL_PORT", 8000),
        PortWish("GATEWAY_PORT", 8080),
        PortWish("MLFLOW_PORT", 5000),
    ]


def test_wishes_with_ports_auto_keep_a_named_port() -> None:
    environment = {"PORTS": "auto", "GATEWAY_PORT": "9090"}
    assert wishes(environment, ["PORTAL_PORT", "GATEWAY_PORT"]) == [
        PortWish("PORTAL_PORT", None),
        PortWish("GATEWAY_PORT", 9090),
    ]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"PORTAL_PORT": "http"}, "PORTAL_PORT"),
        ({"PORTAL_PORT": "0"}, "PORTAL_PORT"),
        ({"PORTAL_PORT": "65536"}, "PORTAL_PORT"),
        ({"PORTS": "random"}, "PORTS"),
    ],
)
def test_wishes_with_a_bad_value_name_the_setting(environment: dict[str, str], name: str) -> None:
    with pytest.raises(StackError, match=f"^{name} is "):
        wishes(environment, ["PORTAL_PORT"])


def test_choose_with_a_taken_port_says_which_and_what_to_set(taken_port: int, tmp_path: Path) -> None:
    with pytest.raises(PortTaken, match=rf"port {taken_port} is taken; set GATEWAY_PORT=.* PORTS=auto"):
        choose([PortWish("GATEWAY_PORT", taken_port)], LOOPBACK, tmp_path / "ports.json")


def test_choose_with_the_same_port_twice_refuses(tmp_path: Path) -> None:
    twice = [PortWish("PORTAL_PORT", 28_999), PortWish("GATEWAY_PORT", 28_999)]
    with pytest.raises(PortTaken, match="PORTAL_PORT=28999, GATEWAY_PORT=28999"):
        choose(twice, LOOPBACK, tmp_path / "ports.json")


def test_choose_automatic_finds_different_ports_and_takes_them_again(tmp_path: Path) -> None:
    wanted = [PortWish("PORTAL_PORT", None), PortWish("GATEWAY_PORT", None)]
    first = choose(wanted, LOOPBACK, tmp_path / "ports.json")
    assert len(set(first.values())) == 2
    assert choose(wanted, LOOPBACK, tmp_path / "ports.json") == first


def test_choose_automatic_leaves_a_remembered_port_that_is_taken(taken_port: int, tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text(f'{{"PORTAL_PORT": {taken_port}}}')
    chosen = choose([PortWish("PORTAL_PORT", None)], LOOPBACK, tmp_path / "ports.json")
    assert chosen["PORTAL_PORT"] != taken_port


def test_choose_automatic_with_a_damaged_memory_finds_a_port(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"PORTAL_PORT": 22')
    assert choose([PortWish("PORTAL_PORT", None)], LOOPBACK, tmp_path / "ports.json")


def test_model_ports_of_stacks_with_their_own_gateways_do_not_overlap() -> None:
    blocks = {model_ports(port) for port in range(22000, 22110)}
    assert len(blocks) == 110
    assert model_ports(8080) is None
