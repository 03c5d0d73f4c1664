"""Services: which model answers which tier, and what routes take over so that it is so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.errors import Invalid
from releases.domain.traffic import (
    TIERS,
    ServiceMatch,
    TrafficRule,
    checked,
    in_order,
    matches,
    resolve,
    revision,
)

MODELS = ("wine", "wine-ensemble", "cider")
rules_of_tiers = st.dictionaries(st.sampled_from((None, *TIERS)), st.sampled_from(MODELS))
mappings = rules_of_tiers.map(lambda found: [TrafficRule(tier, model) for tier, model in found.items()])
asked = st.one_of(st.none(), st.sampled_from(TIERS), st.text(max_size=12))
PREMIUM, DEFAULT = TrafficRule("premium", "wine-ensemble"), TrafficRule(None, "wine")


def takes(match: ServiceMatch, tier: str | None) -> bool:
    """What the gateways do with a match: exact header, or none of the headers in `unless`."""
    return tier == match.tier if match.tier else tier not in match.unless


@given(mappings, asked)
def test_request_fits_the_one_match_of_the_rule_that_it_follows(
    rules: list[TrafficRule], tier: str | None
) -> None:
    found = matches("quality", rules)
    fitting = [model for model, parts in found.items() for match in parts if takes(match, tier)]
    rule = resolve(rules, tier)
    assert fitting == ([] if rule is None else [rule.model])


@given(mappings, st.randoms())
def test_order_of_the_rules_never_matters(rules: list[TrafficRule], chance: object) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert matches("quality", shuffled) == matches("quality", rules)
    assert in_order(shuffled) == in_order(rules)
    assert revision(shuffled) == revision(rules)


@given(mappings, mappings)
def test_revision_is_the_same_for_the_same_rules_only(
    first: list[TrafficRule], second: list[TrafficRule]
) -> None:
    assert (revision(first) == revision(second)) == (in_order(first) == in_order(second))


@given(mappings)
def test_every_match_says_the_service_and_every_rule_has_one(rules: list[TrafficRule]) -> None:
    parts = [match for found in matches("quality", rules).values() for match in found]
    assert len(parts) == len(rules)
    assert {match.service for match in parts} <= {"quality"}


@given(mappings)
def test_mapping_of_known_tiers_and_models_is_taken_the_default_first(rules: list[TrafficRule]) -> None:
    taken = checked(rules, MODELS)
    assert sorted(taken, key=repr) == sorted(rules, key=repr)
    assert [rule.tier for rule in taken] == [
        tier for tier in (None, *TIERS) if tier in {rule.tier for rule in rules}
    ]


def test_mapping_without_a_default_answers_its_tiers_and_nothing_else() -> None:
    taken = checked([PREMIUM], MODELS)
    assert resolve(taken, "premium") == PREMIUM
    assert resolve(taken, "standard") is None
    assert resolve(taken, None) is None


def test_request_with_a_tier_nobody_has_heard_of_gets_the_default() -> None:
    assert resolve([PREMIUM, DEFAULT], "gold") == DEFAULT
    assert resolve([PREMIUM, DEFAULT], "") == DEFAULT


def test_model_with_default_and_a_tier_takes_over_both_apart() -> None:
    both = [TrafficRule(None, "wine"), TrafficRule("premium", "wine"), TrafficRule("standard", "cider")]
    assert matches("quality", both)["wine"] == (
        ServiceMatch("quality", "", ("premium", "standard")),
        ServiceMatch("quality", "premium"),
    )


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        (
            [DEFAULT, TrafficRule("gold", "wine")],
            "rules.1.tier",
            "no tier 'gold'; there are: premium, standard",
        ),
        ([TrafficRule("", "wine")], "rules.0.tier", "no tier ''"),
        ([DEFAULT, PREMIUM, TrafficRule(None, "cider")], "rules.2.tier", "default has a rule already"),
        ([PREMIUM, PREMIUM], "rules.1.tier", "premium has a rule already"),
        ([PREMIUM, TrafficRule(None, "beer")], "rules.1.model", "no model 'beer'"),
    ],
)
def test_mapping_that_cannot_be_is_refused_at_its_field(
    wrong: list[TrafficRule], field: str, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        checked(wrong, MODELS)
    assert list(refused.value.fields) == [field]
    assert said in refused.value.fields[field][0]


def test_mapping_with_several_faults_names_them_all() -> None:
    with pytest.raises(Invalid) as refused:
        checked([TrafficRule("gold", "beer"), DEFAULT, DEFAULT], MODELS)
    assert list(refused.value.fields) == ["rules.0.tier", "rules.0.model", "rules.2.tier"]
