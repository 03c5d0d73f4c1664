"""The gateway's files, read by the real Envoy."""

import subprocess
from pathlib import Path

import pytest
import yaml

from mlops_portal.stack import gateway
from mlops_portal.stack.layout import Layout, layout_of


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    prepared = layout_of(tmp_path / "var")
    prepared.prepare()
    return prepared


def test_bootstrap_is_accepted_by_envoy(layout: Layout) -> None:
    gateway.prepare(layout, "127.0.0.1", 23002)
    command = [*gateway.program(layout).command, "--mode", "validate"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "OK" in result.stdout


def test_prepare_at_the_next_start_keeps_the_routers_files_and_follows_the_port(layout: Layout) -> None:
    gateway.prepare(layout, "127.0.0.1", 23002)
    for name in ("rds.json", "cds.json"):
        (layout.xds / name).write_text("resources: [written by the router]\n")
    gateway.prepare(layout, "127.0.0.1", 23009)
    for name in ("rds.json", "cds.json"):
        assert "written by the router" in (layout.xds / name).read_text()
    listener = yaml.safe_load((layout.xds / "lds.json").read_text())["resources"][0]
    assert listener["address"]["socket_address"]["port_value"] == 23009


def test_first_routes_have_the_name_that_the_listener_asks_for(layout: Layout) -> None:
    gateway.prepare(layout, "127.0.0.1", 23002)
    routes = yaml.safe_load((layout.xds / "rds.json").read_text())["resources"][0]
    listener = yaml.safe_load((layout.xds / "lds.json").read_text())["resources"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert routes["name"] == manager["rds"]["route_config_name"] == "gateway"
