"""The engines that the tests themselves run on."""

import os

import psycopg
import pytest
import redis
from django.db import connection


@pytest.mark.django_db
def test_database_of_the_tests_is_a_real_postgresql_18() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        assert cursor.fetchone()[0].startswith("18")


def test_redis_of_the_tests_answers(real_engines: None) -> None:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        assert client.ping()


def test_database_url_connects_without_django(real_engines: None) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"]) as plain:
        assert plain.execute("SELECT current_user").fetchone() == ("portal",)
