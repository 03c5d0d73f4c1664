"""The error that its reader can mend. Knows nothing of HTTP."""

from collections.abc import Mapping, Sequence


class DomainError(Exception):
    """What was asked is not possible; `code` is for machines, the text for people.

    `fields` maps a field's path (for example "plan.steps.0.weight") to its messages.
    """

    code = "invalid"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.fields = {name: list(messages) for name, messages in (fields or {}).items()}


class Invalid(DomainError):
    """The content is wrong (HTTP 422)."""


def refuse(problems: Mapping[str, str]) -> None:
    """Raise `Invalid` with every field (path -> message) that has a problem; nothing when none has."""
    if problems:
        said = "; ".join(f"{path}: {message}" for path, message in problems.items())
        raise Invalid(said, fields={path: [message] for path, message in problems.items()})


class Conflict(DomainError):
    """Right in itself, but not in the present state (HTTP 409); `state` says what is."""

    code = "conflict"

    def __init__(self, message: str, *, code: str | None = None, state: object = None) -> None:
        super().__init__(message, code=code)
        self.state = state


class NotFound(DomainError):
    """Unknown, or not yours: nobody can tell which (HTTP 404)."""

    code = "not_found"


class Forbidden(DomainError):
    """Yours, but your role may not (HTTP 403)."""

    code = "forbidden"
