"""What a server asks for that wants to be left alone for a while."""

LONGEST_SECONDS = 3600.0


def seconds_asked(header: str) -> float | None:
    """Of a `Retry-After` in seconds, an hour at most; None when it says nothing of use."""
    is_number = header.isascii() and header.isdigit()
    return min(float(header), LONGEST_SECONDS) if is_number else None
