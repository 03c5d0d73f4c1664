"""Commits, and whose repositories a tenant may tell of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.commit import Allowances, Commit
from releases.domain.errors import Invalid

SHA = "0123456789abcdef" * 2 + "01234567"


def test_parse_keeps_the_name_and_writes_the_digits_small() -> None:
    assert Commit.parse("Acme/wine.models", SHA.upper()) == Commit("Acme/wine.models", SHA)


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "acme",
        "acme/",
        "/models",
        "acme/models/x",
        "acme/..",
        "acme/.",
        "a b/c",
        "-a/b",
        "a-/b",
        "ä/b",
        "a/b\n",
    ],
)
def test_parse_what_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(Invalid) as caught:
        Commit.parse(repository, SHA)
    assert list(caught.value.fields) == ["commit.repository"]


@pytest.mark.parametrize("sha", ["", SHA[:39], SHA + "0", "g" * 40, SHA + "\n", "v1.0.0"])
def test_parse_what_is_no_sha_is_refused(sha: str) -> None:
    with pytest.raises(Invalid) as caught:
        Commit.parse("acme/models", sha)
    assert list(caught.value.fields) == ["commit.sha"]


@given(st.text(), st.text())
def test_parse_gives_only_what_can_stand_in_an_address(repository: str, sha: str) -> None:
    try:
        commit = Commit.parse(repository, sha)
    except Invalid:
        return
    assert commit.repository.count("/") == 1
    assert not set(commit.repository) & set("?#%\\ \n")
    assert ".." not in commit.repository.split("/")


@pytest.mark.parametrize(
    ("tenant", "repository", "allowed"),
    [
        ("acme", "acme/models", True),
        ("acme", "ACME/Anything", True),
        ("acme", "shared/models", True),
        ("acme", "shared/other", False),
        ("acme", "acme-labs/models", False),
        ("globex", "globex/models", True),
        ("globex", "acme/models", False),
        ("nobody", "acme/models", False),
    ],
)
def test_allow_is_by_tenant_and_name(tenant: str, repository: str, allowed: bool) -> None:
    listed = Allowances.parse(" acme = Acme/*, shared/models ; globex=globex/models;")
    assert listed.allow(tenant, repository) is allowed


def test_nothing_listed_allows_nothing() -> None:
    assert not Allowances.parse("").allow("acme", "acme/models")


@pytest.mark.parametrize(
    "text",
    ["acme", "acme=", "acme=*", "acme=*/*", "acme=acme/*;acme=x/y", "Acme!=a/b", "acme=a/b c", "acme=a/**"],
)
def test_allowances_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Allowances.parse(text)
