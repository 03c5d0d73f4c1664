"""Steady traffic through the gateway: real rows, an open loop, every answer counted.

The schedule does not wait for answers, as callers do not either. Knows the gateway's address and the
header by which it tells who answered; must not know what is being released.
"""

import asyncio
import itertools
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

DEPLOYMENT = "x-portal-deployment"
MOST_IN_FLIGHT = 200
MEASURING = 4
PATIENCE = 35.0  # longer than the gateway's: whoever gives up first says why
NOBODY = "the gateway"  # a failure that no deployment answered


@dataclass
class Tally:
    """Answers so far. Written by one thread; readers get whole numbers at any time."""

    requests: dict[str, int] = field(default_factory=dict)  # version -> answers
    failed: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)  # 0: no answer at all
    last_sent: dict[str, float] = field(default_factory=dict)  # version -> Unix time
    refs: dict[str, str] = field(default_factory=dict)  # version -> deployment
    skipped: int = 0  # not sent, because too many answers were outstanding
    examples: dict[str, str] = field(default_factory=dict)  # version -> its last failure

    def count(self, sent: float, status: int, ref: str, said: str) -> None:
        """One answer; anything but 200 is a failure."""
        version = version_in(ref)
        self.requests[version] = self.requests.get(version, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last_sent[version] = max(sent, self.last_sent.get(version, 0.0))
        if ref:
            self.refs[version] = ref
        if status != 200:
            self.failed[version] = self.failed.get(version, 0) + 1
            self.examples[version] = f"{status or 'no answer'} {said[:200]}".strip()

    @property
    def total(self) -> int:
        """All answers, and failures to get one."""
        return sum(self.requests.copy().values())

    @property
    def total_failed(self) -> int:
        """All that were not answered with 200."""
        return sum(self.failed.copy().values())


def version_in(ref: str) -> str:
    """acme-production-wine-v1-1-0-9f3ac1d2 -> 1.1.0."""
    match = re.search(r"-v(\d+)-(\d+)-(\d+)-[0-9a-f]{8}$", ref)
    return ".".join(match.groups()) if match else (ref or NOBODY)


class Traffic:
    """`rate` requests a second until stopped, from a thread of its own; the rate may be changed meanwhile."""

    def __init__(self, url: str, headers: Mapping[str, str], rows: Path, rate: float) -> None:
        self.tally = Tally()
        self.rate = rate
        self.url = url
        self._headers = {"content-type": "application/json", **headers}
        self._bodies = rows.read_bytes().splitlines()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, wait for the answers that are outstanding."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=PATIENCE + 5)

    def capacity(self, seconds: float = 2.0) -> float:
        """Good answers a second to `MEASURING` callers who ask without a pause, before the traffic begins.

        What else the machine does at that time has its part in it. Raises httpx.HTTPError."""
        return asyncio.run(self._measure(seconds))

    async def _measure(self, seconds: float) -> float:
        bodies = itertools.cycle(self._bodies)
        begin, good = time.monotonic(), 0

        async def ask(client: httpx.AsyncClient) -> None:
            nonlocal good
            while time.monotonic() < begin + seconds:
                answer = await client.post(self.url, content=next(bodies), headers=self._headers)
                good += answer.status_code == 200

        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            await asyncio.gather(*(ask(client) for _ in range(MEASURING)))
        return good / (time.monotonic() - begin)

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        limits = httpx.Limits(max_connections=MOST_IN_FLIGHT, max_keepalive_connections=MOST_IN_FLIGHT)
        outstanding: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits, trust_env=False) as client:
            due = time.monotonic()
            bodies = itertools.cycle(self._bodies)
            while not self._stopping.is_set():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += 1 / self.rate
                if len(outstanding) >= MOST_IN_FLIGHT:
                    self.tally.skipped += 1
                    continue
                task = asyncio.create_task(self._ask(client, next(bodies)))
                outstanding.add(task)
                task.add_done_callback(outstanding.discard)
            if outstanding:
                await asyncio.wait(outstanding)

    async def _ask(self, client: httpx.AsyncClient, body: bytes) -> None:
        sent = time.time()
        try:
            answer = await client.post(self.url, content=body, headers=self._headers)
        except httpx.HTTPError as error:
            self.tally.count(sent, 0, "", type(error).__name__)
            return
        self.tally.count(sent, answer.status_code, answer.headers.get(DEPLOYMENT, ""), answer.text)
