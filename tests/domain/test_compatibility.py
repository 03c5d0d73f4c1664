"""Which bump a changed signature needs: the table of rules, and what holds for any signatures."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.compatibility import Comparison, Difference, compare, fits
from releases.domain.version import Change

MAJOR, MINOR, PATCH = Change.MAJOR, Change.MINOR, Change.PATCH


def column(name: str, kind: str = "double", required: bool = True) -> dict[str, Any]:
    return {"name": name, "type": kind, "required": required}


def tensor(dtype: str, *shape: int, name: str | None = None) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}} | named


def parameter(name: str, default: Any = 1, **changes: Any) -> dict[str, Any]:
    return {"name": name, "type": "long", "default": default, "shape": None} | changes


def record(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"name": "r", "type": "object", "properties": properties, "required": True}


def array(of: dict[str, Any]) -> dict[str, Any]:
    return {"name": "a", "type": "array", "items": of, "required": True}


A, B = column("a"), column("b")
INPUT_RULES = [
    ([A, B], [B, A], PATCH, []),
    ([A, B], [A], MAJOR, ["input b (double) was removed"]),
    ([A], [A, B], MAJOR, ["required input b (double) was added"]),
    ([A], [A, column("b", required=False)], MINOR, ["optional input b (double) was added"]),
    ([A], [column("a", "string")], MAJOR, ["input a was double and is now string"]),
    ([A], [column("a", required=False)], MINOR, ["input a was required and is now optional"]),
    ([column("a", required=False)], [A], MAJOR, ["input a was optional and is now required"]),
    ([column("a", "integer")], [column("a", "long")], MINOR, ["accepts all that was accepted"]),
    ([column("a", "integer")], [column("a", "double")], MINOR, ["accepts all that was accepted"]),
    ([column("a", "float")], [column("a", "double")], MINOR, ["accepts all that was accepted"]),
    ([column("a", "long")], [column("a", "integer")], MAJOR, ["was long and is now integer"]),
    ([column("a", "long")], [column("a", "double")], MAJOR, ["was long and is now double"]),
    ([column("a", "long")], [column("a", "any")], MINOR, ["accepts all that was accepted"]),
    ([A], [{"name": "a", "type": "double", "optional": True}], MINOR, ["is now optional"]),
    ([tensor("float32", -1, 3)], [tensor("float32", -1, 3)], PATCH, []),
    ([tensor("float32", -1, 3)], [tensor("float64", -1, 3)], MAJOR, ["tensor float32 [-1, 3]"]),
    ([tensor("float32", -1, 3)], [tensor("float32", -1, -1)], MINOR, ["accepts all"]),
    ([tensor("float32", -1, -1)], [tensor("float32", -1, 3)], MAJOR, ["is now tensor"]),
    ([tensor("float32", -1, 3)], [tensor("float32", -1, 3, 1)], MAJOR, ["is now tensor"]),
    ([tensor("int8", -1)], [tensor("int8", -1, name="x")], MAJOR, ["nothing and is now x"]),
    ([{"type": "long"}], [{"type": "long"}, {"type": "long"}], MAJOR, ["required input #2"]),
    ([{"type": "long"}, {"type": "long"}], [{"type": "long"}], MAJOR, ["#2 (long) was removed"]),
    ([record(x=A, y=B)], [record(x=A)], MAJOR, ["input r.y (double) was removed"]),
    ([record(x=A)], [record(x=A, y=column("y", required=False))], MINOR, ["optional input r.y"]),
    ([array({"type": "integer"})], [array({"type": "long"})], MINOR, ["input a[] was integer"]),
    ([array({"type": "long"})], [array({"type": "string"})], MAJOR, ["input a[] was long"]),
    ([array({"type": "long"})], [A], MAJOR, ["input a was array of long and is now double"]),
    ([A], [], MAJOR, ["the inputs are no longer described"]),
    ([], [A], MAJOR, ["the inputs were not described and now are"]),
]
OUTPUT_RULES = [
    ([A], [A, B], MINOR, ["output b (double) was added"]),
    ([A, B], [A], MAJOR, ["output b (double) was removed"]),
    ([column("a", "integer")], [column("a", "long")], MAJOR, ["output a was integer"]),
    ([A], [column("a", required=False)], MAJOR, ["output a was required and is now optional"]),
    ([column("a", required=False)], [A], MINOR, ["output a was optional and is now required"]),
    ([tensor("int64", -1)], [tensor("int64", -1, 3)], MAJOR, ["output #1 was tensor int64 [-1]"]),
    ([tensor("int64", -1, 3)], [tensor("int64", -1, -1)], MAJOR, ["is now tensor int64 [-1, -1]"]),
    ([], [A], MINOR, ["the outputs were not described and now are"]),
    ([A], [], MAJOR, ["the outputs are no longer described"]),
]
PARAMETER_RULES = [
    ([], [parameter("k")], MINOR, ["parameter k (long) was added with a default"]),
    ([], [parameter("k", None)], MAJOR, ["required parameter k (long) was added"]),
    ([parameter("k")], [], MAJOR, ["parameter k (long) was removed"]),
    ([parameter("k")], [parameter("k", type="string")], MAJOR, ["parameter k was long"]),
    ([parameter("k")], [parameter("k", 2)], MINOR, ["default of parameter k was 1 and is now 2"]),
    ([parameter("k")], [parameter("k", shape=[-1])], MAJOR, ["is now list of long"]),
]
RULES = [
    (part, *rule)
    for part, rules in (
        ("inputs", INPUT_RULES),
        ("outputs", OUTPUT_RULES),
        ("params", PARAMETER_RULES),
    )
    for rule in rules
]


@pytest.mark.parametrize(("part", "before", "after", "needed", "words"), RULES)
def test_compare_of_one_change_needs_the_bump_of_the_rule_and_says_why(
    part: str, before: list[Any], after: list[Any], needed: Change, words: list[str]
) -> None:
    comparison = compare({part: before}, {part: after})
    assert comparison.needed is needed
    assert len(comparison.differences) == len(words)
    for difference, expected in zip(comparison.differences, words, strict=True):
        assert expected in difference.words
        assert difference.change is needed


def test_compare_with_several_changes_needs_the_largest_bump() -> None:
    comparison = compare(
        {"inputs": [A, B], "outputs": [A]},
        {"inputs": [A, column("c", required=False)], "outputs": [A, B]},
    )
    assert comparison.needed is MAJOR
    assert [(d.where, d.name, d.change) for d in comparison.differences] == [
        ("input", "b", MAJOR),
        ("input", "c", MINOR),
        ("output", "b", MINOR),
    ]


@pytest.mark.parametrize(
    ("needed", "enough"), [(MAJOR, {MAJOR}), (MINOR, {MAJOR, MINOR}), (PATCH, {MAJOR, MINOR, PATCH})]
)
def test_fits_a_declared_bump_of_at_least_what_is_needed(needed: Change, enough: set[Change]) -> None:
    assert {declared for declared in Change if fits(declared, Comparison(needed, ()))} == enough


names = st.sampled_from(["a", "b", "c", "d"])
scalars = st.sampled_from(["integer", "long", "float", "double", "string", "boolean", "any"])
types = st.recursive(
    st.fixed_dictionaries({"type": scalars}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, min_size=1)}
        ),
    ),
    max_leaves=4,
)
columns = st.builds(
    lambda name, kind, required: {**kind, "name": name, "required": required},
    names,
    types,
    st.booleans(),
)
tensors = st.builds(
    tensor,
    st.sampled_from(["int64", "float32"]),
    st.sampled_from([-1, 3]),
    st.sampled_from([-1, 2, 3]),
)
schemas = st.one_of(
    st.lists(columns, max_size=4, unique_by=lambda one: one["name"]), st.lists(tensors, max_size=2)
)
signatures = st.fixed_dictionaries(
    {"inputs": schemas, "outputs": schemas},
    optional={
        "params": st.lists(
            st.builds(parameter, names, st.integers(0, 2)),
            max_size=3,
            unique_by=lambda one: one["name"],
        )
    },
)


@given(signatures)
def test_compare_with_itself_finds_nothing(signature: dict[str, Any]) -> None:
    assert compare(signature, signature) == Comparison(PATCH, ())


@given(signatures, st.randoms(use_true_random=False))
def test_compare_with_named_columns_in_another_order_finds_nothing(
    signature: dict[str, Any], random: Any
) -> None:
    mixed = {
        part: random.sample(specs, len(specs)) if all("name" in spec for spec in specs) else specs
        for part, specs in signature.items()
    }
    assert compare(signature, mixed).differences == ()


@given(signatures, signatures)
def test_compare_in_both_directions_finds_differences_in_the_same_places(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there, back = compare(one, other), compare(other, one)
    assert {(d.where, d.name) for d in there.differences} == {(d.where, d.name) for d in back.differences}
    assert (there.needed is PATCH) == (not there.differences)
    for difference in there.differences:
        assert difference.words


@given(signatures, signatures)
def test_compare_never_calls_both_directions_of_an_input_change_compatible(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """If each accepted all that the other does, they would be the same."""
    one, other = {"inputs": one["inputs"]}, {"inputs": other["inputs"]}
    there, back = compare(one, other), compare(other, one)

    def compatible(differences: tuple[Difference, ...]) -> set[tuple[str, frozenset[str | None]]]:
        # One column may differ in two ways, of which one is compatible there and the other back.
        return {(d.name, frozenset((d.before, d.after))) for d in differences if d.change is MINOR}

    assert compatible(there.differences) & compatible(back.differences) == set()


anything = st.recursive(
    st.sampled_from([None, True, False, 0, -1, 2.5, "", "a", "tensor", "object", "array", "long"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "type", "inputs", "items", "properties", "tensor-spec", "shape"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["inputs", "outputs", "params"]), anything),
    st.dictionaries(st.sampled_from(["inputs", "outputs", "params"]), anything),
)
def test_compare_of_any_json_does_not_raise(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert compare(one, one).needed is PATCH
    assert compare(one, other).needed in Change
