"""What can go wrong with the stack, as sentences for the person who started it."""


class StackError(Exception):
    """The message says what is wrong and what to do; it is printed without a traceback."""


class AlreadyRunning(StackError):
    """Another process runs this very stack."""


class PortTaken(StackError):
    """A wanted port belongs to somebody else."""


class NotReady(StackError):
    """A program did not become ready; the message ends with the last lines of its log."""
