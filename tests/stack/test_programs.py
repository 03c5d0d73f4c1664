"""The configuration that supervisord reads, read by supervisord itself; and which programs there are."""

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from mlops_portal.stack.layout import layout_of
from mlops_portal.stack.programs import Program, supervisor_configuration
from mlops_portal.stack.services import EVERYTHING, mlflow_store, wanted_services


def test_configuration_with_awkward_values_reaches_the_process_unchanged(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "a var")
    layout.prepare()
    command = ("/bin/echo", "a b", "50%", "it's", 'say "x"')
    program = Program("echo", command, environment={"URL": "postgresql://u:p%40ss,w=x@h/d"})
    layout.supervisor_configuration.write_text(supervisor_configuration(layout, [program]))

    options = ServerOptions()
    options.configfile = str(layout.supervisor_configuration)
    options.process_config(do_usage=False)

    (group,) = options.process_group_configs
    (process,) = group.process_configs
    assert process.environment == {"URL": "postgresql://u:p%40ss,w=x@h/d"}
    assert process.stdout_logfile == str(layout.log_of("echo"))
    assert tuple(shlex.split(process.command)) == command


def test_wanted_services_without_outside_engines_are_all() -> None:
    assert wanted_services(EVERYTHING, {}) == list(EVERYTHING)


@pytest.mark.parametrize(
    ("setting", "program"),
    [
        ("DATABASE_URL", "postgres"),
        ("REDIS_URL", "redis"),
        ("MODEL_CACHE_URL", "redis-models"),
        ("MLFLOW_TRACKING_URI", "mlflow"),
    ],
)
def test_wanted_services_with_an_outside_engine_leave_it_out(setting: str, program: str) -> None:
    assert set(EVERYTHING) - set(wanted_services(EVERYTHING, {setting: "x://y"})) == {program}


def test_wanted_services_with_an_unknown_name_refuse() -> None:
    with pytest.raises(ValueError, match="kafka"):
        wanted_services(["kafka"], {})


def test_mlflow_store_beside_an_outside_database_is_a_database_of_its_own(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgres://u:p@db:5433/portal?sslmode=require"}
    store = mlflow_store(layout_of(tmp_path), given)
    assert store == "postgresql+psycopg://u:p@db:5433/mlflow?sslmode=require"
