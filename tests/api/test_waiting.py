"""Many callers at once, on a real web process that has four connections to the database."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.db import connection
from django.db.models import Model

from releases.api.waiting import Wanted, Watch
from releases.domain.release import Phase
from releases.models import Release
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene
from tests.api.test_problems import assert_problem
from tests.portal_process import PortalProcess, running_portal

POOL = 4
MANY = 120
FILED = {"model": "mead", "version": "1.3.0", "environment": "staging"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def portal(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PortalProcess]:
    folder = tmp_path_factory.mktemp("portal")
    with django_db_blocker.unblock(), running_portal(folder, POOL, API_RATE="100000") as process:
        yield process


@pytest.fixture
def full(transactional_db: None) -> Scene:
    """A scene that other processes see."""
    return Scene()


def client(portal: PortalProcess, scene: Scene, role: Role = Role.VIEWER) -> httpx.AsyncClient:
    """A caller with as many connections as it likes."""
    headers = {"Authorization": f"Bearer {scene.tokens[role][1]}"}
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=portal.url + HERE, headers=headers, timeout=60, limits=limits)


async def change(row: Model, **values: object) -> None:
    """As another process does it."""

    def update() -> None:
        try:
            type(row)._default_manager.filter(pk=row.pk).update(**values)
        finally:
            connection.close()

    await asyncio.to_thread(update)


# ---- waiting ---------------------------------------------------------------------------------------
def test_wait_release_that_has_ended_answers_at_once(portal: PortalProcess, full: Scene) -> None:
    async def go() -> httpx.Response:
        async with client(portal, full) as caller:
            return await caller.get(f"releases/{full.ended.pk}/wait/")

    began = time.monotonic()
    assert asyncio.run(go()).json()["phase"] == "rolled_back"
    assert time.monotonic() - began < 10  # not the minute that it would wait


def test_wait_answers_when_one_of_the_phases_is_reached(portal: PortalProcess, full: Scene) -> None:
    async def go() -> tuple[httpx.Response, bool]:
        async with client(portal, full) as caller:
            path = f"releases/{full.canary.pk}/wait/?phase=succeeded,rolled_back"
            waiting = asyncio.create_task(caller.get(path))
            await asyncio.sleep(0.7)
            too_early = waiting.done()
            await change(full.canary, phase="succeeded")
            return await asyncio.wait_for(waiting, 20), too_early

    answer, too_early = asyncio.run(go())
    assert not too_early
    assert (answer.status_code, answer.json()["phase"]) == (200, "succeeded")
    assert answer.headers["X-Request-Id"]


def test_wait_time_is_over_answers_the_release_as_it_is(portal: PortalProcess, full: Scene) -> None:
    async def go() -> httpx.Response:
        async with client(portal, full) as caller:
            return await caller.get(f"releases/{full.canary.pk}/wait/?timeout=1")

    began = time.monotonic()
    answer = asyncio.run(go())
    assert (answer.status_code, answer.json()["phase"]) == (200, "canary")
    assert time.monotonic() - began > 0.9


def test_wait_of_many_holds_neither_threads_nor_connections(portal: PortalProcess, full: Scene) -> None:
    async def go() -> tuple[Counter[str], int, int]:
        async with client(portal, full) as caller:
            path = f"releases/{full.canary.pk}/wait/?timeout=60"
            asked = [asyncio.create_task(caller.get(path)) for _ in range(MANY)]
            threads = [MANY]
            while max(threads[-10:]) > MANY / 4 or len(threads) < 10:  # until all have begun and are quiet
                assert len(threads) < 300
                await asyncio.sleep(0.1)
                threads.append(portal.threads)
            beside = await caller.get(f"releases/{full.paused.pk}/")
            done = sum(task.done() for task in asked)
            await change(full.canary, phase="succeeded")
            answers = await asyncio.wait_for(asyncio.gather(*asked), 60)
            return Counter(answer.json()["phase"] for answer in answers), done, beside.status_code

    phases, done, beside = asyncio.run(go())
    assert (done, beside) == (0, 200)
    assert phases == {"succeeded": MANY}


def test_wait_token_revoked_in_between_is_refused(portal: PortalProcess, full: Scene) -> None:
    async def go() -> httpx.Response:
        async with client(portal, full) as caller:
            waiting = asyncio.create_task(caller.get(f"releases/{full.canary.pk}/wait/"))
            await asyncio.sleep(0.5)
            await change(full.tokens[Role.VIEWER][0], revoked_at=full.canary.requested_at)
            await change(full.canary, phase="succeeded")
            return await asyncio.wait_for(waiting, 20)

    answer = asyncio.run(go())
    assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")


def test_watch_forgets_who_goes_away(transactional_db: None) -> None:
    async def go() -> None:
        watch = Watch()
        staying = asyncio.create_task(watch.until(Wanted("nobody", {Phase.SUCCEEDED}, 0.2)))
        leaving = asyncio.create_task(watch.until(Wanted("nobody", {Phase.SUCCEEDED}, 60)))
        await asyncio.sleep(0.05)
        assert len(watch.waiters) == 2
        leaving.cancel()
        await asyncio.wait({staying, leaving})
        assert not watch.waiters
        assert watch.looking is not None
        await asyncio.wait_for(watch.looking, 10)  # nobody is left to look for

    asyncio.run(go())


@pytest.mark.parametrize(
    "query", ["timeout=0", "timeout=61", "timeout=x", "phase=flying", "phase=,", "pase=x"]
)
def test_wait_bad_query_is_422(call: Call, query: str) -> None:
    assert_problem(call("get", "releases/{canary}/wait/?" + query), 422, "invalid")


# ---- filing ----------------------------------------------------------------------------------------
def test_file_200_times_with_one_key_makes_one_release(portal: PortalProcess, full: Scene) -> None:
    async def go() -> list[httpx.Response]:
        async with client(portal, full, Role.REQUESTER) as caller:
            headers = {"Idempotency-Key": "run-7"}
            filing = [caller.post("releases/", json=FILED, headers=headers) for _ in range(200)]
            return await asyncio.gather(*filing)

    answers = asyncio.run(go())
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 199}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Release.objects.filter(version__version="1.3.0").count() == 1


def test_file_50_different_ones_for_one_endpoint_makes_one_release(
    portal: PortalProcess, full: Scene
) -> None:
    for number in range(50):
        factories.version(full.mead, f"2.{number}.0")

    async def go() -> list[httpx.Response]:
        async with client(portal, full, Role.REQUESTER) as caller:
            filing = [
                caller.post(
                    "releases/",
                    json={**FILED, "version": f"2.{number}.0"},
                    headers={"Idempotency-Key": f"run-{number}"},
                )
                for number in range(50)
            ]
            return await asyncio.gather(*filing)

    answers = asyncio.run(go())
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    [filed] = [answer.json() for answer in answers if answer.status_code == 201]
    for refused in answers:
        if refused.status_code == 409:
            assert refused.json()["code"] in ("release_active", "try_again")
    assert Release.objects.filter(version__version__startswith="2.", endpoint__model=full.mead).count() == 1
    assert filed["phase"] == "validating"
