"""What the programs, and whoever talks to them, find in their environment."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from mlops_portal.stack.addresses import addresses, read_environment_file, write_private
from mlops_portal.stack.layout import Layout, layout_of

PORTS = {"PORTAL_PORT": 23001, "GATEWAY_PORT": 23002, "MLFLOW_PORT": 23003, "MODEL_REDIS_PORT": 23004}
AWKWARD = "postgresql://ada:p'a$s \"w#rd%20\\@host/db?host=/a b&x=1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    prepared = layout_of(tmp_path / "var")
    prepared.prepare()
    return prepared


def test_addresses_of_embedded_engines_are_unix_sockets(layout: Layout) -> None:
    found = addresses(layout, {}, PORTS)
    assert found["DATABASE_URL"] == f"postgresql://portal@/portal?host={layout.postgres_sockets}"
    assert found["REDIS_URL"] == f"unix://{layout.redis_socket}?db=0"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:23003"


def test_addresses_of_outside_engines_are_kept(layout: Layout) -> None:
    given = {"DATABASE_URL": "postgresql://db/x", "MLFLOW_TRACKING_URI": "https://mlflow.example"}
    found = addresses(layout, given, {"PORTAL_PORT": 23001})
    assert {name: found[name] for name in given} == given


def test_secret_key_is_made_once_and_private(layout: Layout) -> None:
    first = addresses(layout, {}, PORTS)["PORTAL_SECRET_KEY"]
    assert len(first) >= 50
    assert addresses(layout, {}, PORTS)["PORTAL_SECRET_KEY"] == first
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o600


def test_secret_that_an_older_stack_does_not_have_is_made_and_the_others_stay(layout: Layout) -> None:
    write_private(layout.secrets, {"PORTAL_SECRET_KEY": "old"})
    found = addresses(layout, {}, PORTS)
    assert found["PORTAL_SECRET_KEY"] == "old"
    assert len(found["MLFLOW_WEBHOOK_SECRET"]) >= 32
    assert addresses(layout, {}, PORTS) == found
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o600


def test_models_get_a_redis_of_their_own_and_a_key_that_is_made_once(layout: Layout) -> None:
    found = addresses(layout, {}, PORTS)
    assert found["MODEL_CACHE_URL"] == "redis://127.0.0.1:23004/0"
    assert found["FEATURE_ONLINE_URL"] == "127.0.0.1:23004/1"
    assert found["FEATURE_STORE"] == str(layout.feature_store)
    Fernet(found["MODEL_ENCRYPTION_KEY"])  # raises for what is no key
    assert addresses(layout, {}, PORTS) == found
    assert stat.S_IMODE(layout.model_secrets.stat().st_mode) == 0o600


def test_redis_of_the_models_that_is_outside_is_kept_and_none_is_promised_beside_it(layout: Layout) -> None:
    found = addresses(layout, {"MODEL_CACHE_URL": "redis://cache/3"}, {"PORTAL_PORT": 23001})
    assert found["MODEL_CACHE_URL"] == "redis://cache/3"
    assert "FEATURE_ONLINE_URL" not in found


def test_environment_file_is_private_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    write_private(path, {"DATABASE_URL": AWKWARD, "PORTAL_URL": "http://x"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_environment_file(path) == {"DATABASE_URL": AWKWARD, "PORTAL_URL": "http://x"}


def test_environment_file_means_the_same_to_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    write_private(path, {"DATABASE_URL": AWKWARD})
    line = f'. {path}; printf %s "$DATABASE_URL"'
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True).stdout == AWKWARD


def test_environment_file_means_the_same_to_the_settings(layout: Layout) -> None:
    found = addresses(layout, {}, PORTS)
    write_private(layout.environment_file, found)
    names = ("DATABASE_URL", "REDIS_URL", "PORTAL_SECRET_KEY")
    script = (
        "import sys, environs; env = environs.Env(); env.read_env(sys.argv[1], recurse=False); "
        "print(*(env.str(name) for name in sys.argv[2:]), sep='\\n')"
    )
    command = [sys.executable, "-c", script, str(layout.environment_file), *names]
    result = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [found[name] for name in names]
