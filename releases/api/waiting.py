"""The long poll: a release as soon as it is in a phase that the caller waits for, or when the time is over.

A waiter is a coroutine and an entry in a dictionary: it holds neither a thread nor a connection to the
database, so one process carries thousands of them (`make bench-waiting`). One look every half second
serves all waiters of a process. A caller who goes away is forgotten at once.

The door, the role and the limit of requests are those of every other view: `WaitViews` runs when the wait
begins, and again for the answer, so that a token revoked in between is refused.
"""

import asyncio
import logging
from collections.abc import Set
from dataclasses import dataclass, field
from functools import wraps
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.release_answers import ReleaseSerializer
from releases.api.releases import with_forecast
from releases.api.requests import WaitQuery
from releases.api.schema import described
from releases.api.tenant import TenantViewSet
from releases.domain.release import TERMINAL
from releases.models import Release
from releases.services import find

LOOK_SECONDS = 0.5
AT_ONCE = 8
"""How many waits begin or are answered at the same moment: a crowd that wakes up together must not take all
connections from everybody else, nor give up because it stands in its own way."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one caller waits for."""

    release: str
    phases: Set[str]
    seconds: float


class Begun(Response):
    """Nothing to send yet, and what is waited for."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.wanted = wanted


@dataclass(eq=False, slots=True)
class Watch:
    """Looks at the releases that are waited for in one event loop, as long as there are any."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    waiters: dict[asyncio.Future[None], Wanted] = field(default_factory=dict)
    looking: asyncio.Task[None] | None = None

    async def until(self, wanted: Wanted) -> None:
        """Return when the release is in one of the phases, or the time is over."""
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters[arrived] = wanted
        if self.looking is None or self.looking.done():
            self.looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({arrived}, timeout=wanted.seconds)
        finally:
            del self.waiters[arrived]

    async def _look(self) -> None:
        while self.waiters:
            wanted = {each.release for each in self.waiters.values()}
            try:
                phases = await asyncio.to_thread(_phases, wanted)
            except Error as error:  # the answer will say so, if it lasts
                log.warning("releases that are waited for cannot be read: %s", error)
                phases = {}
            for arrived, each in self.waiters.items():
                if not arrived.done() and phases.get(each.release) in each.phases:
                    arrived.set_result(None)
            await asyncio.sleep(LOOK_SECONDS)


def _phases(releases: Set[str]) -> dict[str, str]:
    try:
        return dict(Release.objects.filter(pk__in=releases).values_list("pk", "phase"))
    finally:
        connection.close()  # the thread may not be used again


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = WeakKeyDictionary()


class WaitViews(TenantViewSet):
    """The two ends of a wait."""

    def begin(self, request: Request, tenant: str, release: str) -> Response:
        """Everything that can be refused, and what is waited for."""
        query = self.query(WaitQuery)
        found = find.release(self.actor, release)
        phases = query.get("phase", TERMINAL)
        seconds = 0.0 if found.phase in phases else query["timeout"]
        return Begun(Wanted(found.pk, phases, seconds))

    @described(
        "wait_for_releases",
        ReleaseSerializer,
        summary="Wait until a release reaches one of the phases, or the time is over",
        parameters=[WaitQuery],
    )
    def wait(self, request: Request, tenant: str, release: str) -> Response:
        """Long poll; without `phase` it waits for the end of the release."""
        return Response(with_forecast(find.release(self.actor, release), self.now()))


_begin = WaitViews.as_view({"get": "begin"})
_answer = WaitViews.as_view({"get": "wait"}, throttle_classes=[])  # counted at the beginning


@wraps(_answer)  # so that it is found in the description of the API
async def wait(request: HttpRequest, **names: str) -> HttpResponseBase:
    """Begin, wait, answer."""
    watch = _watches.setdefault(asyncio.get_running_loop(), Watch())
    async with watch.turns:
        begun = await sync_to_async(_without_connection)(request, **names)
    if not isinstance(begun, Begun):  # refused
        return begun
    if begun.wanted.seconds:
        _give_thread_back()
        await watch.until(begun.wanted)
    async with watch.turns:
        answered: HttpResponse = await sync_to_async(_answer)(request, **names)
    return answered


def _without_connection(request: HttpRequest, **names: str) -> HttpResponse:
    begun: HttpResponse = _begin(request, **names)
    if not connection.in_atomic_block:  # as it is in tests
        connection.close()
    return begun


def _give_thread_back() -> None:
    """Django keeps a thread for each request until it is answered; the next call makes a new one."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context and (executor := SyncToAsync.context_to_thread_executor.pop(context, None)):
        executor.shutdown(wait=False)
