"""Paths: Unix sockets have room, and nobody else's folder is trusted."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import Layout, layout_of

LIMIT = 107


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Layout]:
    """A stack whose own folder is too long for Unix sockets."""
    layout = layout_of(tmp_path / ("d" * 100) / "var")
    yield layout
    if layout.sockets.is_symlink():
        layout.sockets.unlink()
    else:
        shutil.rmtree(layout.sockets, ignore_errors=True)


def longest_socket(layout: Layout) -> int:
    """supervisord binds its socket under a name that ends in its process id first."""
    names = [f"{layout.supervisor_socket}.4194304", f"{layout.postgres_sockets}/.s.PGSQL.5432"]
    return max(len(name) for name in [*names, str(layout.redis_socket), str(layout.envoy_admin)])


def test_layout_of_a_short_folder_keeps_sockets_in_it() -> None:
    assert layout_of(Path("/srv/portal/var")).run == Path("/srv/portal/var/run")


@pytest.mark.parametrize("length", range(60, 130))
def test_layout_of_any_length_leaves_room_for_every_socket(length: int) -> None:
    layout = layout_of(Path("/" + "v" * (length - 1)))
    assert longest_socket(layout) <= LIMIT


def test_layout_of_a_long_folder_is_private_and_stays_the_same(deep: Layout) -> None:
    deep.prepare()
    assert deep.run.parent.parent == Path(tempfile.gettempdir()).resolve()
    assert deep.run.stat().st_mode & 0o077 == 0
    assert layout_of(deep.var) == deep


def test_layout_with_a_planted_link_refuses(deep: Layout, tmp_path: Path) -> None:
    deep.sockets.symlink_to(tmp_path)
    with pytest.raises(StackError, match="somebody else"):
        deep.prepare()


def test_layout_with_a_folder_that_others_may_write_refuses(deep: Layout) -> None:
    deep.sockets.mkdir()
    deep.sockets.chmod(0o777)
    with pytest.raises(StackError, match="PORTAL_VAR"):
        deep.prepare()


def test_layout_in_a_folder_that_supervisord_cannot_use_refuses(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="per cent"):
        layout_of(tmp_path / "100%")
