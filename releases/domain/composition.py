"""What a composed model is made of, as the document in its MLmodel file says it (`metadata.composition`).

The document is written where models are composed; here it is read by code of our own, because a model is
foreign: whatever it says has to be a value of ours, or a sentence about what is wrong with it. Keys that are
not known are left out. Pure; knows neither MLflow nor the rows of versions.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from releases.domain.errors import Invalid

VERSION = 1
MOST_MEMBERS = 50
LONGEST_TEXT = 200
LARGEST_NUMBER = 2**31 - 1
BLOCKS = ("features", "cache", "encryption")
"""In the order in which a request meets them; the last has no part in requests."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class Core(StrEnum):
    """Who of the members answers."""

    ENSEMBLE = "ensemble"
    ROUTER = "router"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Member:
    """One model version inside. `model` is its name in the registry, `version` its semantic one; `weight` is
    a share of 1, None where nothing is weighed."""

    name: str
    model: str
    version: str
    registry_version: int
    digest: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Which member answers: by the tier of the caller, else `other`; without a tier `small` for requests of
    fewer rows than `fewer_rows_than`, else `large`. All are names of members."""

    tiers: Mapping[str, str]
    other: str
    fewer_rows_than: int
    small: str
    large: str


@dataclass(frozen=True, slots=True)
class Composition:
    """A composed model. `combine` says how an ensemble's answers become one, `at_least` how many members have
    to answer (None: all). `blocks` has only those of `BLOCKS` that the model has."""

    core: Core
    members: tuple[Member, ...]
    combine: str = ""
    at_least: int | None = None
    rules: Rules | None = None
    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_encrypted(self) -> bool:
        """Whether the members' files are ciphertext in the artifact."""
        return "encryption" in self.blocks

    @property
    def summary(self) -> str:
        """ "ensemble of forest 1.2.0 and boost 2.0.1, with cache and encryption"."""
        members = _and([f"{member.model} {member.version}" for member in self.members])
        made = members if self.core is Core.SINGLE else f"{self.core.value} of {members}"
        blocks = [name for name in BLOCKS if name in self.blocks]
        return f"{made}, with {_and(blocks)}" if blocks else made


def parse(document: object) -> Composition:
    """The document as a value; raises `Invalid` with a sentence that names the place."""
    top = _Part(document, "the composition")
    version = top.number("version")
    if version > VERSION:
        raise Invalid(
            f"the model was composed by something newer: its composition has version {version}, this portal "
            f"reads {VERSION}"
        )
    core = top.part("core")
    kind = core.text("kind")
    if kind not in set(Core):
        raise Invalid(f"core.kind of the composition is {kind!r}; known are {', '.join(Core)}")
    members = tuple(_member(one) for one in core.parts("members", MOST_MEMBERS))
    names = {member.name for member in members}
    if not members or len(names) < len(members):
        raise Invalid("core.members of the composition names none, or one twice")
    rules = _rules(core.part("rules"), names) if core.has("rules") else None
    if (rules is None) == (kind == Core.ROUTER):
        raise Invalid(f"core.rules of the composition does not fit: its kind is {kind}")
    failure = core.part("on_failure") if core.has("on_failure") else None
    return Composition(
        core=Core(kind),
        members=members,
        combine=core.text("combine") if core.has("combine") else "",
        at_least=failure.number("at_least") if failure and failure.has("at_least") else None,
        rules=rules,
        blocks=_blocks(top.part("blocks")) if top.has("blocks") else {},
    )


def recomposed(
    document: Mapping[str, Any], member: str, version: str, example_ids: Sequence[Any]
) -> dict[str, Any]:
    """The spec of the same model with another version of one member, as `python -m serving compose` takes it.

    `example_ids` are entities that the feature store knows, for the new input example. Raises `Invalid`."""
    made = parse(document)
    if member not in {one.name for one in made.members}:
        raise Invalid(f"the composition has no member {member[:40]!r}")
    core = {
        key: document["core"][key]
        for key in ("kind", "combine", "on_failure", "rules")
        if key in document["core"]
    }
    core["members"] = {
        one.name: {
            "model": one.model,
            "version": version if one.name == member else one.version,
            **({} if one.weight is None else {"weight": one.weight}),
        }
        for one in made.members
    }
    spec: dict[str, Any] = {
        "model": _Part(document, "the composition").text("model"),
        "change": "minor",
        "core": core,
    }
    if "cache" in made.blocks:
        spec["cache"] = dict(made.blocks["cache"])
    if "features" in made.blocks:
        if not example_ids:
            raise Invalid(
                "nobody knows an entity to ask for: the version that this one follows was never validated. "
                "Release it once, or compose the new one where you train"
            )
        kept = {key: value for key, value in made.blocks["features"].items() if key in _FEATURE_OPTIONS}
        spec["features"] = {**kept, "example_ids": list(example_ids)}
    if made.is_encrypted:
        spec["encryption"] = {}
    return spec


_FEATURE_OPTIONS = ("entity", "view_features", "on_missing", "on_stale", "on_unreachable", "defaults")


def _member(part: "_Part") -> Member:
    digest = part.text("digest")
    if not _DIGEST.fullmatch(digest):
        raise Invalid(f"{part.where}.digest is no digest")
    weight = part.share("weight") if part.has("weight") else None
    return Member(
        part.text("name"),
        part.text("model"),
        part.text("version"),
        part.number("registry_version"),
        digest,
        weight,
    )


def _rules(part: "_Part", members: set[str]) -> Rules:
    tiers, without = part.part("tiers"), part.part("without_tier")
    rules = Rules(
        tiers={tier: tiers.text(tier) for tier in tiers.keys(MOST_MEMBERS)},
        other=part.text("other"),
        fewer_rows_than=without.number("fewer_rows_than"),
        small=without.text("small"),
        large=without.text("large"),
    )
    if unknown := {*rules.tiers.values(), rules.other, rules.small, rules.large} - members:
        raise Invalid(f"core.rules of the composition lead to {min(unknown)!r}, which is no member")
    return rules


def _blocks(part: "_Part") -> dict[str, Mapping[str, Any]]:
    return {name: part.part(name).content for name in BLOCKS if part.has(name)}


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class _Part:
    """An object somewhere in the document; every value that is asked of it is of its type, or `Invalid`."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
            raise Invalid(f"{where} is no object")
        self.content: Mapping[str, Any] = content
        self.where = where

    def has(self, key: str) -> bool:
        """Null counts as absent."""
        return self.content.get(key) is not None

    def keys(self, most: int) -> list[str]:
        """The keys, which are texts themselves."""
        if len(self.content) > most:
            raise Invalid(f"{self.where} has more than {most} entries")
        return [_text(key, f"a key of {self.where}") for key in self.content]

    def part(self, key: str) -> "_Part":
        return _Part(self.content.get(key), f"{self.where}.{key}")

    def parts(self, key: str, most: int) -> list["_Part"]:
        found = self.content.get(key)
        if not isinstance(found, list) or len(found) > most:
            raise Invalid(f"{self.where}.{key} is no list of at most {most}")
        return [_Part(one, f"{self.where}.{key}[{index}]") for index, one in enumerate(found)]

    def text(self, key: str) -> str:
        return _text(self.content.get(key), f"{self.where}.{key}")

    def number(self, key: str) -> int:
        found = self.content.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= LARGEST_NUMBER:
            raise Invalid(f"{self.where}.{key} is no whole number of at least 1")
        return found

    def share(self, key: str) -> float:
        found = self.content.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise Invalid(f"{self.where}.{key} is no number")
        if not 0 <= found <= 1:
            raise Invalid(f"{self.where}.{key} is {found:g}, and a share is from 0 to 1")
        return float(found)


def _text(found: object, where: str) -> str:
    """Short and printable: it is shown, and stored where a zero byte has no place."""
    if not isinstance(found, str) or not found or len(found) > LONGEST_TEXT or not found.isprintable():
        raise Invalid(f"{where} is no text of 1 to {LONGEST_TEXT} printable characters")
    return found
