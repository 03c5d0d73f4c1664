"""Replaces itself by a program, after ending what an earlier life of that program left behind.

`python -m mlops_portal.stack.launch NAME COMMAND...`: a master that was killed with SIGKILL cannot
end its children, which would keep its port or go on with its work beside the new ones. Imports
nothing heavy: it runs at every start of a program.
"""

import os
import signal
import sys

from mlops_portal.stack.leftovers import MARKER, PROGRAM, processes_with


def main(arguments: list[str]) -> None:
    """End the leftovers of program `arguments[0]`, then become the command in the rest."""
    name, *command = arguments
    mark = {MARKER: os.environ.get(MARKER, ""), PROGRAM: name}
    for pid in processes_with(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.environ[PROGRAM] = name
    os.execvp(command[0], command)  # noqa: S606  a list of arguments made by the stack


if __name__ == "__main__":
    main(sys.argv[1:])
