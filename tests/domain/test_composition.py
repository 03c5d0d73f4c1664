"""The composition of a model as a value: whatever a foreign document says, it is read or refused in words."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from releases.domain.composition import Core, parse
from releases.domain.errors import Invalid

SCHEMA = Path(__file__).parents[2] / "serving/composition.schema.json"
BLOCKS = {
    "cache": {"ttl_seconds": 3600, "max_value_bytes": 65536, "timeout_ms": 50, "wait_ms": 200},
    "encryption": {"algorithm": "fernet-envelope-1", "folder": "encryption"},
}


def member(name: str, weight: float | None = None) -> dict[str, Any]:
    made = {
        "name": name,
        "model": f"wine-{name}",
        "version": "1.2.0",
        "registry_version": 3,
        "digest": "sha256:" + "ab" * 32,
    }
    return made if weight is None else {**made, "weight": weight}


ENSEMBLE: dict[str, Any] = {
    "version": 1,
    "model": "wine",
    "id": "0" * 32,
    "core": {
        "kind": "ensemble",
        "members": [member("forest", 0.75), member("boost", 0.25)],
        "combine": "mean_of_probabilities",
        "on_failure": {"policy": "quorum", "at_least": 1},
    },
    "blocks": BLOCKS,
}
ROUTER: dict[str, Any] = {
    "version": 1,
    "model": "wine",
    "id": "0" * 32,
    "core": {
        "kind": "router",
        "members": [member("forest"), member("boost")],
        "rules": {
            "tiers": {"premium": "forest"},
            "other": "boost",
            "without_tier": {"fewer_rows_than": 100, "small": "forest", "large": "boost"},
        },
    },
    "blocks": {},
}


def test_documents_of_these_tests_are_what_the_composer_writes() -> None:
    schema = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for document in (ENSEMBLE, ROUTER) for error in schema.iter_errors(document)] == []


def test_parse_of_an_ensemble_gives_members_weights_and_quorum() -> None:
    made = parse(ENSEMBLE)
    assert (made.core, made.combine, made.at_least) == (Core.ENSEMBLE, "mean_of_probabilities", 1)
    assert [(one.model, one.version, one.weight) for one in made.members] == [
        ("wine-forest", "1.2.0", 0.75),
        ("wine-boost", "1.2.0", 0.25),
    ]
    assert made.is_encrypted
    assert made.summary == "ensemble of wine-forest 1.2.0 and wine-boost 1.2.0, with cache and encryption"


def test_parse_of_a_router_gives_its_rules() -> None:
    made = parse(ROUTER)
    assert made.rules is not None
    assert (made.rules.tiers, made.rules.other, made.rules.large) == ({"premium": "forest"}, "boost", "boost")
    assert not made.is_encrypted
    assert made.summary == "router of wine-forest 1.2.0 and wine-boost 1.2.0"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("version",), 2, "composed by something newer"),
        (("core", "kind"), "magic", "core.kind of the composition is 'magic'"),
        (("core", "members"), [], "names none, or one twice"),
        (("core", "members", 1, "name"), "forest", "names none, or one twice"),
        (("core", "members", 0, "digest"), "sha256:xyz", r"members\[0\].digest is no digest"),
        (("core", "members", 0, "weight"), float("nan"), "weight is no number"),
        (("core", "members", 0, "weight"), 1.5, "a share is from 0 to 1"),
        (("core", "members", 0, "model"), "wine\0", "printable"),
        (("core", "members", 0, "registry_version"), True, "whole number"),
        (("core", "members", 0, "registry_version"), 2**40, "whole number"),
        (("core", "rules"), ROUTER["core"]["rules"], "core.rules of the composition does not fit"),
        (("blocks", "cache"), [], "blocks.cache is no object"),
    ],
)
def test_parse_of_a_bad_document_names_the_place(path: tuple[Any, ...], value: Any, said: str) -> None:
    document = copy.deepcopy(ENSEMBLE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(Invalid, match=said):
        parse(document)


def test_parse_of_rules_that_lead_nowhere_is_refused() -> None:
    document = copy.deepcopy(ROUTER)
    document["core"]["rules"]["without_tier"]["large"] = "oracle"
    with pytest.raises(Invalid, match="lead to 'oracle', which is no member"):
        parse(document)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_parse_of_any_document_is_a_value_or_invalid(data: st.DataObject) -> None:
    """Somewhere in a good document stands anything at all."""
    document: Any = copy.deepcopy(data.draw(st.sampled_from((ENSEMBLE, ROUTER))))
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place))))
        )
    place[key] = data.draw(anything)
    try:
        made = parse(document)
    except Invalid:
        return
    assert made.members
    assert made.summary
