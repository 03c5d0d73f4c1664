"""How many callers one web process lets wait for a release at once: real uvicorn, PostgreSQL and Redis.

`python -m bench.waiting [--waiters 2000]`. All wait for the same release, then it ends. In one run:
what they cost while they wait, what an ordinary request takes beside them, and how soon the last of them
has its answer.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.database import database
from bench.report import report

if TYPE_CHECKING:
    from tests.portal_process import PortalProcess  # Django: only once it is set up

POOL = 16
ORDINARY = 20


def main() -> None:
    """Wait in growing crowds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=2_000)
    options = parser.parse_args()
    with database(), tempfile.TemporaryDirectory() as folder:
        from tests.portal_process import running_portal

        rows = []
        for count in sorted({0, options.waiters // 10, options.waiters}):
            # A process of its own for each, so that memory is that of this crowd alone.
            with running_portal(Path(folder), POOL, API_RATE="1000000") as portal:
                rows.append(measure(portal, count))
        report("waiting", "Callers that wait for one release, one web process", rows)


def measure(portal: "PortalProcess", waiters: int) -> dict[str, object]:
    """One crowd, for one release of a tenant of its own."""
    from releases.domain.release import Phase
    from releases.models import Release
    from tenants.models import Tenant
    from tenants.roles import Role
    from tests import factories

    tenant = Tenant.objects.create(slug=f"crowd-{waiters}", name="Crowd")
    model, environment = factories.model(tenant, "wine"), factories.environment(tenant, "production")
    stable, candidate = factories.version(model, "1.0.0"), factories.version(model, "1.1.0")
    release = factories.release(factories.endpoint(environment, model, stable=stable), candidate)
    token, text = factories.token(tenant, Role.VIEWER)
    path = f"/api/v1/tenants/{tenant.slug}/releases/{release.pk}/"

    def end() -> None:
        Release.objects.filter(pk=release.pk).update(
            phase=Phase.SUCCEEDED.value, finished_at=datetime.now(UTC)
        )

    return asyncio.run(crowd(portal, path, text, waiters, token.pk, end))


async def crowd(
    portal: "PortalProcess", path: str, token: str, waiters: int, token_id: int, end: Any
) -> dict[str, object]:
    """Everybody begins, is measured while waiting, and is answered."""
    await get(portal.url, path, token)  # what is loaded at the first request
    before = memory(portal.pid)
    began = time.perf_counter()
    waiting = [asyncio.create_task(get(portal.url, f"{path}wait/?timeout=60", token)) for _ in range(waiters)]
    while counted(token_id) < waiters + 1:
        await asyncio.sleep(0.05)
    all_begun = time.perf_counter() - began
    await asyncio.sleep(1)
    threads, held = portal.threads, memory(portal.pid)
    ordinary = [await timed(portal.url, path, token) for _ in range(ORDINARY)]
    await asyncio.to_thread(end)
    ended = time.perf_counter()
    answers = await asyncio.gather(*waiting)
    return {
        "waiters": waiters,
        "all have begun, s": all_begun,
        "threads": threads,
        "memory of one, KiB": (held - before) / waiters if waiters else 0.0,
        "ordinary request, ms": 1_000 * statistics.median(ordinary),
        "last answer after, s": time.perf_counter() - ended if waiters else 0.0,
        "answered": sum(b'"phase":"succeeded"' in answer for answer in answers),
    }


async def get(url: str, path: str, token: str) -> bytes:
    """One request on a connection of its own; the answer as it came."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    headers = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def timed(url: str, path: str, token: str) -> float:
    """Seconds of one request."""
    began = time.perf_counter()
    await get(url, path, token)
    return time.perf_counter() - began


def counted(token_id: int) -> int:
    """How many requests of the token the portal has let in, in this minute and the one before."""
    from django.core.cache import cache

    window = int(time.time() // 60)
    keys: Sequence[str] = [f"api-rate:token:{token_id}:{number}" for number in (window - 1, window)]
    return sum(cache.get_many(keys).values())


def memory(pid: int) -> int:
    """KiB that a process holds of its own."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise LookupError("no Private_Dirty in smaps_rollup")


if __name__ == "__main__":
    os.environ.setdefault("BENCH_VAR", str(Path("var").resolve()))
    main()
