"""PostgreSQL's account reaches its files, and no more than that is opened."""

import os
import stat
from pathlib import Path

import pytest

from mlops_portal.stack.accounts import database_account, open_the_way


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_open_the_way_lets_pass_through_closed_folders_without_listing_them(var: Path) -> None:
    closed, opened = var / "closed", var / "closed" / "opened"
    closed.mkdir(mode=0o700)
    opened.mkdir()
    opened.chmod(0o755)
    assert open_the_way(opened / "postgres") == [closed, var]
    assert [mode(path) for path in (var, closed, opened)] == [0o701, 0o701, 0o755]
    assert open_the_way(opened / "postgres") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs PostgreSQL as itself")
def test_database_account_for_root_is_another_and_stays_with_the_data(var: Path) -> None:
    fresh = database_account(var / "missing")
    assert fresh is not None
    assert fresh.pw_uid != 0
    (var / "data").mkdir()
    os.chown(var / "data", 1, 1)
    existing = database_account(var / "data")
    assert existing is not None
    assert existing.pw_uid == 1
