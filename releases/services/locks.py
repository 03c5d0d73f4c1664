"""Locks that die with their holder: PostgreSQL's advisory locks, held by the worker's own connection.

A lease in a column would need a heartbeat, and a killed worker would block its work until the lease is
over. The server releases an advisory lock at the moment when the connection of its holder is gone, so the
next worker may begin at once, and no clock is involved. Two keys with the same hash only wait for each
other. Knows nothing of what is locked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def held(topic: str, key: str) -> Iterator[bool]:
    """Whether the lock was free; if so it is ours until the end of the block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))", [topic, key])
        is_ours = bool(cursor.fetchone()[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            _release(topic, key)


def _release(topic: str, key: str) -> None:
    """A connection in which a statement failed, or that is gone, is closed: that releases as well."""
    if connection.needs_rollback or not connection.is_usable():
        connection.close()
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))", [topic, key])
