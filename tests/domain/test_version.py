"""Semantic versions: parse, order, bump."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.errors import Invalid
from releases.domain.version import LARGEST_PART, Change, SemanticVersion, covers

identifiers = st.one_of(
    st.integers(0, 10**6).map(str),
    st.from_regex(r"[0-9]*[a-z-][0-9a-z-]{0,5}", fullmatch=True),
)
prereleases = st.lists(identifiers, max_size=4).map(".".join)
parts = st.integers(0, 1_000)
versions = st.builds(SemanticVersion, parts, parts, parts, prereleases)

# The example of semver.org, 11.
IN_ORDER = [
    *("0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0-0", "2.0.0"),
]
NO_VERSIONS = [
    *("", "1", "1.2", "1.2.3.4", "v1.2.3", " 1.2.3", "1.2.3\n", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01"),
    *("1.2.3-a..b", "1.2.3+build", "-1.2.3", "1.2.x", "\u0661.2.3", "1.2.3-é", f"{LARGEST_PART + 1}.0.0"),
    *(f"1.0.0-{'a' * 130}", f"{'9' * 5_000}.0.0"),
]


@given(versions)
def test_version_written_and_read_is_the_same(version: SemanticVersion) -> None:
    assert SemanticVersion.parse(str(version)) == version


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        SemanticVersion.parse(text)
    assert refused.value.code == "bad_version"
    assert len(str(refused.value)) < 200


@given(st.text())
def test_version_of_any_text_is_read_back_or_refused(text: str) -> None:
    try:
        version = SemanticVersion.parse(text)
    except Invalid:
        return
    assert str(version) == text


def test_versions_are_ordered_by_precedence_not_as_text() -> None:
    ordered = [SemanticVersion.parse(text) for text in IN_ORDER]
    assert sorted(set(ordered)) == ordered


@given(versions, versions, versions)
def test_versions_are_totally_ordered(a: SemanticVersion, b: SemanticVersion, c: SemanticVersion) -> None:
    assert (a < b) + (b < a) + (a == b) == 1
    if a <= b <= c:
        assert a <= c


@given(versions, st.sampled_from(Change))
def test_bump_is_higher_final_and_of_the_kind_that_was_asked(
    version: SemanticVersion, change: Change
) -> None:
    bumped = version.bump(change)
    assert bumped > version
    assert not bumped.prerelease
    if not version.prerelease:
        assert bumped.change_from(version) is change


@given(versions, st.sampled_from(Change))
def test_bump_skips_no_version(version: SemanticVersion, change: Change) -> None:
    """The number below the bumped one is not above what there was."""
    bumped = version.bump(change)
    part = {Change.MAJOR: "major", Change.MINOR: "minor", Change.PATCH: "patch"}[change]
    lower = getattr(bumped, part) - 1
    assert lower <= getattr(version, part)


@pytest.mark.parametrize(
    ("version", "change", "expected"),
    [
        ("1.4.2", Change.MAJOR, "2.0.0"),
        ("1.4.2", Change.MINOR, "1.5.0"),
        ("1.4.2", Change.PATCH, "1.4.3"),
        ("2.0.0-rc.1", Change.MAJOR, "2.0.0"),
        ("2.1.0-rc.1", Change.MAJOR, "3.0.0"),
        ("2.1.0-rc.1", Change.MINOR, "2.1.0"),
        ("2.1.1-rc.1", Change.MINOR, "2.2.0"),
        ("2.1.1-rc.1", Change.PATCH, "2.1.1"),
        ("2.1.1-rc.1", Change.MAJOR, "3.0.0"),
    ],
)
def test_bump_finishes_a_prerelease_of_its_kind(version: str, change: Change, expected: str) -> None:
    assert str(SemanticVersion.parse(version).bump(change)) == expected


@given(st.sampled_from(Change), st.sampled_from(Change))
def test_covers_is_the_order_patch_minor_major(declared: Change, needed: Change) -> None:
    order = [Change.PATCH, Change.MINOR, Change.MAJOR]
    assert covers(declared, needed) == (order.index(declared) >= order.index(needed))
