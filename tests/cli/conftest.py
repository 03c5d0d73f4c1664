"""The real command against the real API: a web process of the portal, a front before it, and a scene."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from portal_cli.main import run
from releases.domain.release import Phase
from releases.models import Release
from tenants.roles import Role
from tests import factories
from tests.cli.front import Front
from tests.portal_process import PortalProcess, running_portal

SURROUNDINGS = ("CI", "GITHUB_", "GITLAB_", "PORTAL_", "TERM", "COLUMNS", "XDG_CONFIG_HOME")
WAIT_SECONDS = 60.0
WINE = ("--model-name", "wine", "--version", "1.1.0", "--environment", "production")
Output = pytest.CaptureFixture[str]
NUMBERS = count(1)


class Stage:
    """A tenant with a wine: 1.0.0 is stable in production, 1.1.0 is to be released, 0.9.0 is an old one.

    Every test has a tenant of its own, so that the tables need not be emptied after each.
    """

    def __init__(self) -> None:
        self.acme = acme = factories.tenant(f"acme-{next(NUMBERS)}")
        self.staging = factories.environment(acme, "staging", default_plan={"steps": []})
        self.production = factories.environment(acme, "production")
        self.wine = factories.model(acme, "wine")
        self.held = factories.version(self.wine, "0.9.0")
        self.old = factories.version(self.wine, "1.0.0")
        self.new = factories.version(self.wine, "1.1.0")
        self.place = factories.endpoint(self.production, self.wine, stable=self.old)
        self.in_staging = factories.endpoint(self.staging, self.wine)
        self.tokens = {role: factories.token(acme, role)[1] for role in Role}

    def release(self, phase: Phase = Phase.CANARY, **changes: Any) -> Release:
        """A release of 1.1.0 to production."""
        return factories.release(self.place, self.new, phase, **changes)

    def walk(self, release: Release, *lines: tuple[Phase, str]) -> Release:
        """Take a release through phases, as the reconciler would."""
        at = timezone.now()
        moments = [(phase, at + timedelta(seconds=n), why) for n, (phase, why) in enumerate(lines)]
        return factories.walk(release, moments)

    @property
    def releases(self) -> "QuerySet[Release]":
        """All of the tenant."""
        return Release.objects.filter(tenant=self.acme)

    def filed(self) -> Release:
        """The release that a command in another process files."""
        release: Release = eventually(self.releases.first)
        return release


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds as soon as it finds something."""
    deadline = timezone.now() + timedelta(seconds=WAIT_SECONDS)
    while not (found := look()):
        assert timezone.now() < deadline, "it never happened"
        time.sleep(0.01)  # what is waited for needs the processor too
    return found


@pytest.fixture(scope="package")
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """What is written is seen by other processes, and emptied after the last test here."""
    with django_db_blocker.unblock():
        assert connection.settings_dict["NAME"].startswith("test_")  # it is emptied below
        yield
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)


@pytest.fixture
def _django_db_helper(database: None) -> None:
    """Instead of pytest-django's: neither a transaction round each test, for other processes look, nor an
    emptying after each, which takes longer than most of them."""


@pytest.fixture(scope="package")
def web(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalProcess]:
    """The portal's own web process."""
    with running_portal(tmp_path_factory.mktemp("portal"), 4, API_RATE="100000") as process:
        yield process


@pytest.fixture
def stage(database: None) -> Stage:
    """A scene that other processes see."""
    return Stage()


@pytest.fixture
def front(web: PortalProcess) -> Iterator[Front]:
    """What clients talk to."""
    front = Front(web.url)
    yield front
    front.close()


class Command:
    """The command with a token, in this process (`call`) or in one of its own (`start`)."""

    def __init__(
        self, url: str, tenant: str, token: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._monkeypatch = monkeypatch
        self.variables = {
            "PORTAL_URL": url,
            "PORTAL_TENANT": tenant,
            "PORTAL_TOKEN": token,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
        }
        for name in list(os.environ):
            if name.startswith(SURROUNDINGS):
                monkeypatch.delenv(name)

    def call(self, *arguments: str) -> int:
        """The exit code."""
        for name, value in self.variables.items():
            self._monkeypatch.setenv(name, value)
        return run(list(arguments))

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """A process of its own, as a shell would start it."""
        environment = {**os.environ, **self.variables, "PYTHONPATH": str(settings.BASE_DIR / "cli")}
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        # A run of the tests in the background has SIGINT ignored, and so would its children.
        program = ["env", "--default-signal=INT", sys.executable, "-m", "portal_cli"]
        return subprocess.Popen([*program, *arguments], env=environment, **given)


Make = Callable[..., Command]


@pytest.fixture
def command(front: Front, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A command with the token of a role."""

    def make(role: Role = Role.OPERATOR) -> Command:
        return Command(front.url, stage.acme.slug, stage.tokens[role], tmp_path, monkeypatch)

    return make
