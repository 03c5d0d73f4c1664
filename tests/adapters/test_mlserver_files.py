"""What the log of a model server that ended is said to mean."""

from pathlib import Path

import pytest

from releases.adapters.target.mlserver_files import ServerFiles


@pytest.mark.parametrize(
    ("log", "why"),
    [
        ("INFO - ready\nModuleNotFoundError: No module named 'x'\nINFO - shutdown", "No module named 'x'"),
        (
            "ValueError: bad weights\nINFO:     Shutting down\n"
            "ERROR:    Traceback (most recent call last):\n"
            '  File "starlette/routing.py", line 699, in lifespan\n    raise OSError\n'
            "asyncio.exceptions.CancelledError\n\n",
            "bad weights",
        ),
        ("OSError: one\nRuntimeError: two\n", "RuntimeError: two"),
        ("INFO - ready\n", ""),
    ],
)
def test_last_words_are_the_last_line_that_says_why(tmp_path: Path, log: str, why: str) -> None:
    found = last_words(tmp_path, log)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    "secret",
    ["error: postgresql://user:hunter2@db/x", "error: password=hunter2", "error: API_KEY: hunter2"],
)
def test_last_words_tell_no_secret(tmp_path: Path, secret: str) -> None:
    found = last_words(tmp_path, secret)
    assert found.startswith("error")
    assert "hunter2" not in found


def test_last_words_are_cut(tmp_path: Path) -> None:
    assert len(last_words(tmp_path, "error " + "x" * 5_000)) == 240


def test_last_words_without_a_log_are_empty(tmp_path: Path) -> None:
    assert ServerFiles(tmp_path, tmp_path, tmp_path).last_words("wine") == ""


def last_words(var: Path, log: str) -> str:
    files = ServerFiles(var, var, var)
    files.log("wine").parent.mkdir()
    files.log("wine").write_text(log)
    return files.last_words("wine")


def test_write_makes_only_serving_importable_and_mends_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project" / "serving", tmp_path / "elsewhere"
    project.mkdir(parents=True)
    (project / "__init__.py").touch()
    files = ServerFiles(tmp_path / "var", tmp_path, project)
    files.write({})
    files.write({})
    assert [path.name for path in files.beside.iterdir()] == ["serving"]
    assert (files.beside / "serving" / "__init__.py").is_file()
    (files.beside / "serving").unlink()
    (files.beside / "serving").symlink_to(elsewhere)
    files.write({})
    assert (files.beside / "serving").resolve() == project
