"""`portal`: the group of all commands, and the one place that turns what went wrong into an exit code."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from portal_cli import __version__
from portal_cli.commands.acting import approve, promote, rollback
from portal_cli.commands.filing import canary, deploy, release, validate
from portal_cli.commands.following import evidence, monitor, smoke_test, status
from portal_cli.commands.login import login
from portal_cli.errors import INTERRUPTED, REACHED, CommandError

EPILOG = """Exit codes: 0 reached, 1 refused or rolled back, 2 usage, 3 portal not reachable,
4 timed out while the release goes on, 130 interrupted. The token is in PORTAL_TOKEN, or
stored by `portal login`."""


@click.group(
    epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="portal")
def portal() -> None:
    """Release machine-learning models safely.

    A release lives in the portal: a command files it or follows it, may be repeated, and may die."""


for command in (
    validate,
    deploy,
    smoke_test,
    canary,
    monitor,
    promote,
    rollback,
    release,
    status,
    approve,
    evidence,
    login,
):
    portal.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code."""
    try:
        code = portal.main(arguments, prog_name="portal", standalone_mode=False)
        return code if isinstance(code, int) else REACHED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CommandError as error:
        click.echo(f"portal: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("portal: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # who read the output has gone; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a text that the terminal cannot show must not end the command
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(run())


def _stop(number: int, frame: FrameType | None) -> None:
    """A CI system that cancels a job says SIGTERM; it means the same as Ctrl-C."""
    raise KeyboardInterrupt
