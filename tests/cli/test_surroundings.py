"""What CI systems say of themselves."""

import pytest

from portal_cli import surroundings

NAMED = ("wine", "1.4.0", "production")


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}, "7-2-wine-1.4.0-production"),
        ({"GITHUB_RUN_ID": "7"}, "7-1-wine-1.4.0-production"),
        ({"CI_PIPELINE_ID": "70", "CI_JOB_ID": "71"}, "70-71-wine-1.4.0-production"),
    ],
)
def test_idempotency_key_of_a_run_is_the_same_each_time(variables: dict[str, str], key: str) -> None:
    assert surroundings.idempotency_key(variables, *NAMED) == key


def test_idempotency_key_by_hand_is_new_each_time() -> None:
    assert surroundings.idempotency_key({}, *NAMED) != surroundings.idempotency_key({}, *NAMED)


def test_idempotency_key_is_no_longer_than_the_portal_takes() -> None:
    long = surroundings.idempotency_key({"GITHUB_RUN_ID": "7"}, "ü" * 200, "1" * 200, "p")
    assert len(long) == surroundings.LONGEST_KEY
    assert long.isascii()


@pytest.mark.parametrize(
    ("value", "is_one"), [("true", True), ("1", True), ("", False), ("0", False), ("False", False)]
)
def test_ci_is_what_sets_the_variable(value: str, is_one: bool) -> None:
    assert surroundings.is_ci({"CI": value}) is is_one
