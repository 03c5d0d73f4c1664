"""`make pipeline`: features, training, evaluation, registration and a filed release on the running stack.

    python -m pipelines.release                   a new run; prints its id
    python -m pipelines.release --run-id ID       the same run again: whatever it has done is not done twice

Addresses come from the environment or from `var` (PORTAL_VAR) of a stack on this machine. ZenML keeps its own
records in `var/zenml`, tells nobody, and asks no network. Exit codes: 2 for what the user can mend, 3 when
the stack, the registry or the portal is in the way, 1 when the model is not good enough.
"""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.surroundings import Surroundings, surroundings
from serving.errors import Refused, Unreachable

PROJECT = Path(__file__).parents[1]
RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def zenml_variables(var: Path) -> dict[str, str]:
    """ZenML as a library: local, quiet, offline."""
    return {
        "ZENML_CONFIG_PATH": str(var / "zenml"),
        "ZENML_CUSTOM_SOURCE_ROOT": str(PROJECT),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        "ZENML_ENABLE_RICH_TRACEBACK": "false",
        "AUTO_OPEN_DASHBOARD": "false",
    }


def execute(around: Surroundings, var: Path, asked: Mapping[str, str]) -> dict[str, Any]:
    """Run the pipeline in this process; what its last step answers. Raises what a step raised."""
    portal = around.portal
    os.environ.update(around.variables)
    os.environ.update(PORTAL_URL=portal.url, PORTAL_TOKEN=portal.token, PORTAL_TENANT=portal.tenant)
    os.environ.update(zenml_variables(var))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seconds rather than minutes
    with contextlib.redirect_stdout(sys.stderr):  # MLflow prints links, Feast tells how far it is
        # ZenML reads its variables when it is imported, and takes seconds.
        from pipelines.flow import release_bottles

        run = release_bottles(**asked)
        filed: dict[str, Any] = run.steps["file_release"].outputs["release"][0].load()
    return filed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipelines.release", description="Train and release.")
    parser.add_argument("--run-id", default="", metavar="ID", help="execute an earlier run once more")
    parser.add_argument("--model", default="bottles")
    parser.add_argument("--environment", default="staging")
    parser.add_argument("--change", choices=["major", "minor", "patch"], default="minor")
    options = parser.parse_args(arguments)
    if options.run_id and not RUN_ID.fullmatch(options.run_id):
        parser.error("--run-id: letters, digits, dot, dash and underscore, at most 100")
    var = Path(os.environ.get("PORTAL_VAR") or PROJECT / "var").resolve()
    try:
        filed = execute(surroundings(os.environ, var), var, vars(options))
    except Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return 3
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Exception as error:  # ZenML lets through whatever a step raises
        sys.stderr.write(f"the pipeline ended: {type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    verb = "filed" if filed["is_new"] else "had been filed before"
    sys.stdout.write(
        f"pipeline: {options.model} {filed['version']} {verb} for {options.environment}, {filed['phase']}: "
        f"{filed['url']}\nrun {filed['key']}; RUN_ID={filed['key']} make pipeline executes it once more\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
