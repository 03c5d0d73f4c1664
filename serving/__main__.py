"""What a person or CI types: `python -m serving COMMAND …`; without one it lists the commands.

A command is a module with `add_arguments(parser)` and `run(options) -> exit code`, imported when it is asked
for. Exit codes: 2 for what the user can mend, 3 when the registry or the portal is in the way.
"""

import argparse
import importlib
import sys

from serving.errors import Refused, Unreachable

COMMANDS = {
    "compose": ("serving.compose", "build a model from a spec, log it and register it"),
    "rotate": ("serving.rotate", "wrap the keys of encrypted models under a new key"),
    "graph": ("serving.graph", "render a spec as a graph of Seldon"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m serving", description="Composed models.")
    commands = parser.add_subparsers(dest="command", required=True)
    asked = {name: commands.add_parser(name, help=words) for name, (_, words) in COMMANDS.items()}
    if not given or given[0] not in COMMANDS:
        parser.parse_args(given or ["--help"])
    module = importlib.import_module(COMMANDS[given[0]][0])
    module.add_arguments(asked[given[0]])
    try:
        code: int = module.run(parser.parse_args(given))
    except Unreachable as error:
        sys.stderr.write(f"{error}\n")
        return 3
    except Refused as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return code


if __name__ == "__main__":
    sys.exit(main())
