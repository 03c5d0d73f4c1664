"""The whole API, fuzzed from its own description: no 500, no answer that is not described."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenants.roles import Role
from tests.api.conftest import Scene
from tests.portal_process import PortalProcess, running_portal

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))  # of each call; more of them find rarer things
# An administrator gets past the door everywhere: all kinds of bad content are tried there, and what follows
# on what. Of the others most ends at the door.
WHOLE, SHORT = "examples,coverage,fuzzing,stateful", "fuzzing"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def portal(
    django_db_setup: None,
    django_db_blocker: Any,
    mlflow_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PortalProcess]:
    folder = tmp_path_factory.mktemp("portal")
    settings = {"API_RATE": "1000000", "MLFLOW_TRACKING_URI": mlflow_server}
    with django_db_blocker.unblock(), running_portal(folder, 8, **settings) as process:
        yield process


# What a schema cannot say, such as which models there are, is refused with 422 all the same. NUL is text to
# JSON Schema, but not to PostgreSQL.
SETTINGS = """
headers = {{ Authorization = "Bearer {token}" }}
generation = {{ max-examples = {examples}, deterministic = true, allow-x00 = false }}
request-timeout = 90

[[operations]]
include-operation-id-regex = "^(list_|file_|forecast_|replay_|register_|create_|add_|change_|set_mapping_)"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]

[[operations]]
include-operation-id = "wait_for_releases"
parameters = {{ "path.release" = "{ended}", "query.timeout" = 1 }}
generation.mode = "positive"  # its parameters are given here; test_waiting has bad ones

[parameters]
"""


def setting(known: tuple[str, object]) -> str:
    """A line that gives a parameter of paths its value."""
    name, value = known
    return f'"path.{name}" = {json.dumps(value)}\n'


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("caller", "phases"),
    [
        (Role.ADMINISTRATOR, WHOLE),
        *((role, SHORT) for role in Role if role is not Role.ADMINISTRATOR),
        ("stranger", SHORT),
    ],
)
def test_fuzz_finds_no_undescribed_answer(
    portal: PortalProcess, transactional_db: None, tmp_path: Path, caller: str, phases: str
) -> None:
    scene = Scene()
    _, text = scene.stranger if caller == "stranger" else scene.tokens[Role(caller)]
    known = {
        "tenant": "acme",
        "model": "wine",
        "version": "1.1.0",
        "environment": "staging",
        "release": scene.canary.pk,
        "service": "search",
        "token": scene.spare.pk,
    }
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        SETTINGS.format(token=text, examples=EXAMPLES, ended=scene.ended.pk)
        + "".join(map(setting, known.items()))
    )
    ran = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "--no-color"),
            *("run", f"{portal.url}/api/v1/schema/", "--checks", "all", "--phases", phases),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "110"},
    )
    (tmp_path / "schemathesis.txt").write_text(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    [cases] = re.findall(r"(\d+) generated", ran.stdout)
    assert int(cases) > 100
