"""What a composed model is made of, as data: members, weights, rules, blocks.

The same document stands in the MLmodel file (`metadata.composition`, where the portal reads it) and in the
artifact `composition.json` (from which the model is loaded); its schema is beside this module. Knows
neither MLflow nor how anything is computed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from serving.errors import CannotLoad, Place

VERSION = 1
FILE = "composition.json"
METADATA_KEY = "composition"
MEMBERS_FOLDER = "members"
_SCHEMA = Draft202012Validator(
    json.loads(Path(__file__).with_name("composition.schema.json").read_text(encoding="utf-8"))
)


@dataclass(frozen=True, slots=True)
class Member:
    """One pinned model version; `weight` is normalised, and None in cores that weigh nothing."""

    name: str
    model: str
    version: str
    registry_version: int
    digest: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Which member answers: by tier, else `other`; without a tier by the number of rows."""

    tiers: Mapping[str, str]
    other: str
    fewer_rows_than: int
    small: str
    large: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a member's answer: named columns, a width, or (both None) one value a row."""

    columns: tuple[str, ...] | None = None
    width: int | None = None

    def __str__(self) -> str:
        if self.columns is not None:
            return f"the columns {', '.join(self.columns)}"
        return "one value a row" if self.width is None else f"{self.width} values a row"


@dataclass(frozen=True, slots=True)
class Core:
    """What answers. `at_least` is the quorum of an ensemble; None: the failure of one fails the request."""

    kind: str
    members: tuple[Member, ...]
    combine: str | None = None
    at_least: int | None = None
    answer: Shape | None = None
    rules: Rules | None = None


@dataclass(frozen=True, slots=True)
class Composition:
    """A composed model; `blocks` are the documents of the blocks, by their keys."""

    model: str
    identity: str
    core: Core
    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def build(composition: Composition) -> dict[str, Any]:
    """The document; raises `ValueError` when it would not be one."""
    core = composition.core
    document: dict[str, Any] = {
        "version": VERSION,
        "model": composition.model,
        "id": composition.identity,
        "core": {"kind": core.kind, "members": [_member(member) for member in core.members]},
        "blocks": {key: dict(block) for key, block in composition.blocks.items()},
    }
    if core.combine is not None:
        document["core"]["combine"] = core.combine
        document["core"]["on_failure"] = (
            {"policy": "fail"} if core.at_least is None else {"policy": "quorum", "at_least": core.at_least}
        )
    if core.answer is not None:
        columns = None if core.answer.columns is None else list(core.answer.columns)
        document["core"]["answer"] = {"columns": columns, "width": core.answer.width}
    if core.rules is not None:
        document["core"]["rules"] = _rules_document(core.rules)
    if error := best_match(_SCHEMA.iter_errors(document)):
        raise ValueError(f"the composition is not valid at {error.json_path}: {error.message}")
    return document


def parse(document: Any) -> Composition:
    """Read a document; raises `CannotLoad` when it is of another version, or no composition at all."""
    found = document.get("version") if isinstance(document, dict) else None
    if isinstance(found, int) and found > VERSION:
        raise CannotLoad(
            f"this model was composed by a newer `serving` (composition version {found}); "
            f"this one reads version {VERSION}: update what serves the model"
        )
    if error := best_match(_SCHEMA.iter_errors(document)):
        raise CannotLoad(f"{FILE} is damaged at {error.json_path}: {error.message}")
    core = document["core"]
    answer = core.get("answer")
    composition = Composition(
        model=document["model"],
        identity=document["id"],
        core=Core(
            kind=core["kind"],
            members=tuple(Member(**member) for member in core["members"]),
            combine=core.get("combine"),
            at_least=core.get("on_failure", {}).get("at_least"),
            answer=answer and Shape(answer["columns"] and tuple(answer["columns"]), answer["width"]),
            rules=core.get("rules") and rules_of(core["rules"]),
        ),
        blocks=document["blocks"],
    )
    for place, message in core_problems(
        {**core, "members": {each["name"]: each for each in core["members"]}}
    ):
        raise CannotLoad(f"{FILE} is damaged at {'.'.join(map(str, place))}: {message}")
    return composition


def rules_of(rules: Mapping[str, Any]) -> Rules:
    """The rules of a spec or a document: the same words in both."""
    return Rules(tiers=dict(rules["tiers"]), other=rules["other"], **rules["without_tier"])


def core_problems(core: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """What a schema cannot say about a core of a spec (members by name): where, and a sentence."""
    members = core["members"]
    if core["kind"] == "ensemble":
        yield from _weight_problems(members)
        at_least = core.get("on_failure", {}).get("at_least", 1)
        if at_least > len(members):
            yield (
                ("on_failure", "at_least"),
                f"a quorum of {at_least} cannot come from {len(members)} members",
            )
    if core["kind"] == "router":
        yield from _rule_problems(core["rules"], members)


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1, for weights that are not negative and not all zero."""
    # By the largest first: the sum of huge weights is beyond what a float can hold.
    largest = max(weights.values())
    scaled = {name: weight / largest for name, weight in weights.items()}
    total = math.fsum(scaled.values())
    return {name: weight / total for name, weight in scaled.items()}


def _weight_problems(members: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Place, str]]:
    given = {name: member["weight"] for name, member in members.items() if "weight" in member}
    if given and len(given) != len(members):
        without = ", ".join(name for name in members if name not in given)
        yield (
            ("members",),
            f"{len(given)} of {len(members)} members have a weight: give one to {without} too, or to none",
        )
    for name, weight in given.items():
        if not math.isfinite(weight) or weight < 0:
            yield ("members", name, "weight"), f"{weight} is not a weight: a finite number, 0 or more"
    if given and not any(given.values()):
        yield ("members",), "all weights are zero: at least one has to count"


def _rule_problems(rules: Mapping[str, Any], members: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    named: dict[Place, str] = {("rules", "tiers", tier): member for tier, member in rules["tiers"].items()}
    named["rules", "other"] = rules["other"]
    for size in ("small", "large"):
        named["rules", "without_tier", size] = rules["without_tier"][size]
    for place, member in named.items():
        if member not in members:
            yield place, f"there is no member {member!r}; there are {', '.join(members)}"
    for name in members:
        if name not in named.values():
            yield ("members", name), f"no rule leads to {name}: it would never be asked"


def _member(member: Member) -> dict[str, Any]:
    weight = {} if member.weight is None else {"weight": member.weight}
    return {
        "name": member.name,
        "model": member.model,
        "version": member.version,
        "registry_version": member.registry_version,
        "digest": member.digest,
        **weight,
    }


def _rules_document(rules: Rules) -> dict[str, Any]:
    return {
        "tiers": dict(rules.tiers),
        "other": rules.other,
        "without_tier": {
            "fewer_rows_than": rules.fewer_rows_than,
            "small": rules.small,
            "large": rules.large,
        },
    }
