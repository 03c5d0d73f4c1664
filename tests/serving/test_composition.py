"""The composition document: what is built can be read, what is damaged is refused."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.composition import Composition, Core, Member, Rules, Shape, build, normalised, parse
from serving.errors import CannotLoad

DIGEST = "sha256:" + "0" * 64


def member(name: str, weight: float | None = None) -> Member:
    return Member(name, f"m-{name}", "1.0.0", 3, DIGEST, weight)


ENSEMBLE = Composition(
    "both",
    "f" * 32,
    Core("ensemble", (member("one", 0.25), member("two", 0.75)), "vote", 1, Shape()),
)
ROUTER = Composition(
    "both",
    "f" * 32,
    Core(
        "router",
        (member("best"), member("fast")),
        rules=Rules({"premium": "best"}, "fast", 100, "best", "fast"),
    ),
)
SINGLE = Composition("both", "f" * 32, Core("single", (member("one"),)))


@pytest.mark.parametrize("composition", [ENSEMBLE, ROUTER, SINGLE])
def test_parse_reads_what_build_made(composition: Composition) -> None:
    assert parse(build(composition)) == composition


@pytest.mark.parametrize("answer", [Shape(), Shape(width=3), Shape(columns=("malignant", "benign"))])
def test_parse_reads_every_shape_of_an_answer(answer: Shape) -> None:
    composition = Composition(
        "both", "f" * 32, Core("ensemble", (member("one", 1.0), member("two", 0.0)), "mean", None, answer)
    )
    assert parse(build(composition)) == composition


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("version",), 2, "composed by a newer `serving`"),
        (("core", "members"), [], r"is damaged at \$.core.members"),
        (("core", "members", 0, "digest"), "sha256:1", r"damaged at \$.core.members\[0\].digest"),
        (("core", "rules", "other"), "nobody", "is damaged at rules.other: there is no member 'nobody'"),
        (("core", "kind"), "choir", r"damaged at \$.core.kind"),
    ],
)
def test_parse_of_a_damaged_document_is_refused(where: tuple[Any, ...], value: Any, said: str) -> None:
    document = copy.deepcopy(build(ROUTER))
    *path, last = where
    inner: Any = document
    for step in path:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(CannotLoad, match=said):
        parse(document)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"version": "1"}])
def test_parse_of_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(CannotLoad, match=r"composition.json is damaged"):
        parse(document)


def test_build_of_a_wrong_composition_raises() -> None:
    with pytest.raises(ValueError, match=r"not valid at \$.id"):
        build(Composition("both", "x", SINGLE.core))


@given(st.dictionaries(st.text(), st.floats(0, 1e308), min_size=1).filter(lambda each: any(each.values())))
def test_normalised_weights_sum_to_one(weights: dict[str, float]) -> None:
    assert sum(normalised(weights).values()) == pytest.approx(1)
    assert all(0 <= weight <= 1 for weight in normalised(weights).values())
