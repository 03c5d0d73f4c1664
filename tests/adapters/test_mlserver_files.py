"""The files of model servers, and what the log of one that ended is said to mean."""

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
    assert files_in(tmp_path).last_words("wine") == ""


def files_in(var: Path, serving: Path = Path("serving"), **environment: str) -> ServerFiles:
    return ServerFiles(var, var / "bin", serving, var / "fork.sock", environment)


def last_words(var: Path, log: str) -> str:
    files = files_in(var)
    files.log("wine").parent.mkdir()
    files.log("wine").write_text(log)
    return files.last_words("wine")


def test_write_makes_only_serving_importable_and_mends_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project" / "serving", tmp_path / "elsewhere"
    project.mkdir(parents=True)
    (project / "__init__.py").touch()
    files = files_in(tmp_path / "var", project)
    files.write({})
    files.write({})
    assert [path.name for path in files.beside.iterdir()] == ["serving"]
    assert (files.beside / "serving" / "__init__.py").is_file()
    (files.beside / "serving").unlink()
    (files.beside / "serving").symlink_to(elsewhere)
    files.write({})
    assert (files.beside / "serving").resolve() == project


def test_fork_server_is_told_nothing_that_models_are_told_but_the_mark_of_the_stack(tmp_path: Path) -> None:
    files = files_in(tmp_path, MODEL_ENCRYPTION_KEY="secret", PORTAL_STACK=str(tmp_path))
    contents = files.fork_server_contents()
    assert "secret" not in "".join(contents.values())
    assert f"export PORTAL_STACK={tmp_path}" in contents[tmp_path / "fork-server" / "environment"]


def test_fork_server_is_no_deployment(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    files.write(files.fork_server_contents())
    assert files.program("fork-server").exists()
    assert files.refs() == set()
