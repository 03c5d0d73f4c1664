"""A state folder for stacks that the tests start."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_portal.stack.layout import layout_of
from mlops_portal.stack.leftovers import end_leftovers


@contextmanager
def state_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can reach when root runs the tests.

    Not below pytest's own: every pytest that starts closes that one to other accounts.
    """
    folder = Path(tempfile.mkdtemp(prefix="mlops-stack-")).resolve()
    try:
        yield folder
    finally:
        end_leftovers(folder)
        shutil.rmtree(folder)
        shutil.rmtree(layout_of(folder).sockets, ignore_errors=True)


@pytest.fixture
def var() -> Iterator[Path]:
    with state_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_var() -> Iterator[Path]:
    with state_folder() as folder:
        yield folder
