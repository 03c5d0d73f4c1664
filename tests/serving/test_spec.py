"""A spec's mistakes: each told by line and column, in words for its author."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serving.spec import BadSpec, load

GOOD = """\
model: tumours
change: minor
description: three of a kind
core:
  kind: ensemble
  combine: mean_of_probabilities
  members:
    forest:
      model: tumours-forest
      version: 1.0.0
      weight: 2
    trees:
      model: tumours-trees
      version: 1.1.0
      weight: 1
  on_failure:
    policy: quorum
    at_least: 1
"""
ROUTER = """\
model: tumours
change: minor
core:
  kind: router
  members:
    best: {model: a, version: 1.0.0}
    fast: {model: b, version: 1.0.0}
  rules:
    tiers: {premium: best}
    other: fast
    without_tier: {fewer_rows_than: 100, small: best, large: fast}
"""


def lines(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a spec, without its file's name."""
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with pytest.raises(BadSpec) as raised:
        load(file)
    return [line.removeprefix(f"{file}:") for line in raised.value.lines]


def test_load_of_a_good_spec_gives_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(GOOD + "cache: {}\n")
    spec = load(file)
    assert (spec.model, spec.change, spec.description) == ("tumours", "minor", "three of a kind")
    assert spec.core["members"]["trees"] == {"model": "tumours-trees", "version": "1.1.0", "weight": 1}
    assert spec.blocks == {"cache": {}}
    assert spec.marks["core", "members", "forest", "version"] == (10, 7)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("change: minor", "change: huge", "2:1: change: 'huge' is none of major, minor, patch"),
        ("model: tumours\n", "", "1:1: model is missing"),
        ("model: tumours\n", "model: to/mours\n", "1:1: model: 'to/mours' is not a model's name"),
        ("description:", "descripton:", "3:1: descripton: is unknown here; known are model, change"),
        (
            "version: 1.0.0",
            "version: 1.0",
            "10:7: core.members.forest.version: has to be text, and 1.0 is not",
        ),
        (
            "version: 1.0.0",
            "version: v1",
            "10:7: core.members.forest.version: 'v1' is not a semantic version",
        ),
        ("      version: 1.0.0\n", "", "8:5: core.members.forest: version is missing"),
        ("weight: 2", "wieght: 2", "11:7: core.members.forest.wieght: is unknown here"),
        ("weight: 2", "weight: -2", "11:7: core.members.forest.weight: -2 is too small: 0 or more"),
        ("weight: 2", "weight: .nan", "11:7: core.members.forest.weight: nan is not a weight"),
        ("weight: 2", "weight: .inf", "11:7: core.members.forest.weight: inf is not a weight"),
        ("weight: 2", "weight: yes", "11:7: core.members.forest.weight: has to be a number, and True is not"),
        ("      weight: 2\n", "", "7:3: core.members: 1 of 2 members have a weight: give one to forest too"),
        ("kind: ensemble", "kind: choir", "5:3: core.kind: 'choir' is none of ensemble, router, single"),
        ("mean_of_probabilities", "median", "6:3: core.combine: 'median' is none of mean_of_probabilities"),
        ("  combine: mean_of_probabilities\n", "", "4:1: core: combine is missing"),
        ("    forest:", "    Forest:", "8:5: core.members.Forest: 'Forest' is not a member's name"),
        ("at_least: 1", "at_least: 3", "18:5: core.on_failure.at_least: a quorum of 3 cannot come from 2"),
        (
            "policy: quorum",
            "policy: fail",
            "18:5: core.on_failure.at_least: is unknown here; known are policy",
        ),
        ("    trees:", "    forest:", "12:5: 'forest' is there twice"),
        ("description: three of a kind", "description: *core", "3:14: found undefined alias"),
        ("description: three of a kind", "description: [a", "4:5: expected ',' or ']'"),
        ("description: three of a kind", "cache:", "3:1: cache: has to be a mapping, and nothing is not"),
    ],
)
def test_load_of_a_wrong_spec_says_where_and_what(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    [line] = lines(tmp_path, GOOD.replace(before, after, 1))
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("premium: best", "premium: bets", "9:13: core.rules.tiers.premium: there is no member 'bets'"),
        (
            "fewer_rows_than: 100",
            "fewer_rows_than: 0",
            "11:20: core.rules.without_tier.fewer_rows_than: 0 is",
        ),
        ("fewer_rows_than: 100, ", "", "11:5: core.rules.without_tier: fewer_rows_than is missing"),
        ("    other: fast\n", "", "8:3: core.rules: other is missing"),
        (
            "version: 1.0.0}\n    fast",
            "version: 1.0.0, weight: 1}\n    fast",
            "6:38: core.members.best.weight: is",
        ),
    ],
)
def test_load_of_a_wrong_router_says_where_and_what(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in ROUTER
    [line] = lines(tmp_path, ROUTER.replace(before, after))
    assert line.startswith(said)


def test_load_of_a_router_with_a_member_that_no_rule_asks_says_so(tmp_path: Path) -> None:
    changed = ROUTER.replace("other: fast", "other: best").replace("large: fast", "large: best")
    assert lines(tmp_path, changed) == [
        "7:5: core.members.fast: no rule leads to fast: it would never be asked"
    ]


def test_load_of_weights_that_are_all_zero_says_so(tmp_path: Path) -> None:
    changed = GOOD.replace("weight: 2", "weight: 0").replace("weight: 1", "weight: 0.0")
    assert lines(tmp_path, changed) == ["7:3: core.members: all weights are zero: at least one has to count"]


def test_load_tells_all_mistakes_in_the_order_of_the_file(tmp_path: Path) -> None:
    changed = GOOD.replace("change: minor", "change: huge").replace("version: 1.1.0", "version: x")
    assert [line.split(":")[0] for line in lines(tmp_path, changed)] == ["2", "14"]


def test_load_of_a_missing_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    with pytest.raises(BadSpec, match=f"^{file}: cannot be read: No such file or directory$"):
        load(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: a spec is a mapping"),
        ("- model\n", "1:1: a spec is a mapping"),
        ("a: &x {b: 1}\nc: *x\n", "1:4: aliases are not read here"),
        ("[" * 1500, " is nested too deep"),
        ("a: !!python/object:os.system x\n", "1:4: could not determine a constructor"),
        ("a: \x00", " is not YAML"),
        ("{a: 1}: 2\n", "1:1: a key has to be text"),
        ("x" * ((1 << 20) + 1), " is larger than 1048576 bytes"),
    ],
)
def test_load_of_what_is_no_spec_says_so(tmp_path: Path, text: str, said: str) -> None:
    assert lines(tmp_path, text)[0].startswith(said), lines(tmp_path, text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["model", "change", "core", "kind", "members", "rules", "a", "version", "cache"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_load_of_any_yaml_is_a_spec_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(yaml.safe_dump(content))
    refused: tuple[str, ...] = ()
    try:
        load(file)
    except BadSpec as error:
        refused = error.lines
    assert all(line.startswith(f"{file}:") for line in refused)
