"""Passwords that are made up, and files that only their owner may read."""

import os
import secrets
from pathlib import Path


def made_up_password() -> str:
    """96 random bits, 16 characters."""
    return secrets.token_urlsafe(12)


def write_private(path: Path, text: str) -> None:
    """Replace a file, all or nothing; from its first byte on readable by its owner only."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(beside, path)
