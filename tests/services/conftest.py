"""The rig for every test of the services."""

from pathlib import Path

import pytest

from tests.services.rig import Rig


@pytest.fixture
def rig(db: None, tmp_path: Path) -> Rig:
    """A whole portal in one process."""
    return Rig(tmp_path / "artifacts")
