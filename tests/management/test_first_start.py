"""The first start: a way in for the first person, never a second one."""

import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from releases.models import Environment
from tenants.models import Membership, Tenant, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_state_folder(settings: Settings, tmp_path: Path) -> None:
    settings.VAR = tmp_path


def run() -> str:
    output = StringIO()
    call_command("first_start", stdout=output)
    return output.getvalue()


def password_in(text: str) -> str:
    found = re.search(r"name admin, password (\S+)", text)
    assert found is not None, text
    return found[1]


def test_first_start_with_nobody_makes_an_administrator_who_can_log_in(tmp_path: Path) -> None:
    password = password_in(run())

    assert User.objects.get().check_password(password)
    membership = Membership.objects.get()
    assert (membership.tenant.slug, membership.role) == ("main", "administrator")
    assert list(Environment.objects.values_list("name", flat=True)) == ["staging", "production"]


def test_first_start_keeps_the_log_in_in_a_private_file(tmp_path: Path) -> None:
    password = password_in(run())

    file = tmp_path / "first-login.txt"
    assert password_in(file.read_text()) == password
    assert file.stat().st_mode & 0o777 == 0o600


def test_first_start_with_somebody_there_says_and_does_nothing(tmp_path: Path) -> None:
    User.objects.create_user("ada")

    assert run() == ""
    assert not Tenant.objects.exists()
    assert not (tmp_path / "first-login.txt").exists()


def test_first_start_that_cannot_write_the_file_makes_nobody(settings: Settings, tmp_path: Path) -> None:
    settings.VAR = tmp_path / "is-not-there"

    with pytest.raises(FileNotFoundError):
        run()
    assert not User.objects.exists()


def test_first_start_tells_a_setting_that_is_wrong(settings: Settings) -> None:
    settings.PORTAL_URL = "portal.example"
    with pytest.raises(SystemCheckError, match=r"PORTAL_URL is 'portal\.example'"):
        call_command("first_start", skip_checks=False)
    assert not User.objects.exists()
