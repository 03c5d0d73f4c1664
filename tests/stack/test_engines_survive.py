"""The real engines: killed, they come back with what they had; stopped, nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from supervisor.xmlrpc import SupervisorTransport

from mlops_portal.stack import gateway, postgres, redis_server
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
ENGINES = ("postgres", "redis", "redis-models", "envoy", "mlflow")
GIVEN = {"PATH": os.environ["PATH"], "PORTS": "auto"}


@pytest.fixture(scope="module")
def stack(shared_var: Path) -> Iterator[Stack]:
    with Stack(shared_var, given=GIVEN, services=ENGINES) as running:
        yield running
    assert stack_processes(running.layout.var) == []


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def kill(stack: Stack, program: str) -> None:
    """SIGKILL the program and wait until supervisord runs another process in its place."""
    before = stack.pid_of(program)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid_of(program) not in (None, before))


def test_postgres_killed_comes_back_with_committed_rows(stack: Stack) -> None:
    url = stack.environment()["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    idle = psycopg.connect(url)  # a client at the time, whose backend outlives the master for a moment
    kill(stack, "postgres")
    wait_until(lambda: postgres.answers(url))
    idle.close()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_redis_killed_comes_back_with_what_is_older_than_a_second(stack: Stack) -> None:
    url = stack.environment()["REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    time.sleep(1.5)  # the append-only file is written once a second
    kill(stack, "redis")
    wait_until(lambda: redis_server.answers(url))
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"


def test_redis_of_the_models_is_another_than_the_portals_and_keeps_features_when_it_is_full(
    stack: Stack,
) -> None:
    environment = stack.environment()
    host, _, rest = environment["FEATURE_ONLINE_URL"].partition(":")
    port, _, database = rest.partition("/")
    with (
        redis.Redis.from_url(environment["REDIS_URL"]) as portal,
        redis.Redis.from_url(environment["MODEL_CACHE_URL"]) as cache,
        redis.Redis(host, int(port), int(database)) as online,
    ):
        portal.set("message", "to a worker")
        assert not any(
            cache.execute_command("SELECT", number) and cache.get("message") for number in range(16)
        )
        cache.execute_command("SELECT", 0)
        online.set("feature", "old age")
        assert cache.get("feature") is None
        cache.config_set("maxmemory", "8mb")
        for number in range(200):
            cache.set(f"answer-{number}", "x" * 100_000, ex=3600)
        assert cache.info("stats")["evicted_keys"] > 0
        assert online.get("feature") == b"old age"


def test_envoy_killed_comes_back_and_answers_404_without_routes(stack: Stack) -> None:
    url = stack.environment()["GATEWAY_URL"]
    kill(stack, "envoy")
    wait_until(lambda: gateway.answers(stack.layout, url))
    assert httpx.get(f"{url}/anything").status_code == 404


def test_mlflow_killed_comes_back_with_its_models_and_artifacts(stack: Stack) -> None:
    url = stack.environment()["MLFLOW_TRACKING_URI"]
    created = httpx.post(f"{url}/api/2.0/mlflow/registered-models/create", json={"name": "kept"})
    assert created.status_code == 200
    artifact = f"{url}/api/2.0/mlflow-artifacts/artifacts/folder/file.txt"
    assert httpx.put(artifact, content=b"weights").status_code == 200
    kill(stack, "mlflow")
    # Its child may still answer until the new master has ended it: wait for an answer of the new one.
    with httpx.Client(timeout=5) as client:
        time.sleep(2)
        wait_until(lambda: responds(client, f"{url}/health"), 120)
        found = client.get(f"{url}/api/2.0/mlflow/registered-models/get", params={"name": "kept"})
        assert found.status_code == 200
        assert client.get(artifact).content == b"weights"


def responds(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_sockets_and_state_are_closed_to_other_accounts(stack: Stack) -> None:
    layout = stack.layout
    private = [layout.run, layout.postgres_sockets, layout.postgres, layout.log, layout.supervisor]
    files = [layout.environment_file, layout.supervisor_configuration]
    files += [layout.secrets, layout.model_secrets]
    assert [path for path in [*private, *files] if path.stat().st_mode & 0o077] == []


STARTER = """
import sys, time
from pathlib import Path
from mlops_portal.stack.stack import Stack
stack = Stack(Path(sys.argv[1]), given={"PATH": "/usr/bin:/bin"}, services=("postgres", "redis"))
stack.start()
print(flush=True)
time.sleep(300)
"""


def test_starter_and_supervisor_killed_leave_processes_that_the_next_start_ends(var: Path) -> None:
    project = Path(__file__).parents[2]
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(var)], cwd=project, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    starter.stdout.readline()
    stack = Stack(var, given=GIVEN, services=("postgres", "redis"))
    url = stack.environment()["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
    orphans = {pid for name in ("postgres", "redis") if (pid := stack.pid_of(name))}
    starter.kill()
    starter.communicate()
    os.kill(int((stack.layout.run / "supervisord.pid").read_text()), signal.SIGKILL)
    assert orphans <= set(stack_processes(var))

    with stack:
        assert orphans.isdisjoint(stack_processes(var))
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert stack_processes(var) == []


def test_program_added_at_run_time_ends_with_the_stack(var: Path) -> None:
    with Stack(var, given=GIVEN, services=("redis",)) as stack:
        # What the local serving target does: a file in the include folder, then two calls.
        section = "[program:model-x]\ncommand=sh -c 'sleep 300 & sleep 300'\nstopasgroup=true\n"
        (stack.layout.model_programs / "model-x.conf").write_text(section)
        transport = SupervisorTransport(None, None, f"unix://{stack.layout.supervisor_socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as supervisor:
            supervisor.supervisor.reloadConfig()
            supervisor.supervisor.addProcessGroup("model-x")
        # supervisord, redis, the shell and its two sleeps
        wait_until(lambda: len(stack_processes(stack.layout.var)) == 5)
    assert stack_processes(stack.layout.var) == []
