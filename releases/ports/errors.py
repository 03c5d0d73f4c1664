"""How the world says no."""


class AdapterError(Exception):
    """The world did not do what was asked; the text is fit to be shown."""


class Unreachable(AdapterError):
    """Nothing is known: no connection, no answer in time, or the engine is failing (5xx)."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(AdapterError):
    """The engine understood and said no; asking again will not help."""
