"""The verdict as the API promises it, there and back again."""

import json

import pytest

from releases.domain.verdict import (
    LARGEST_EVIDENCE,
    NO_VERDICT,
    ArmCounts,
    RuleState,
    RuleVerdict,
    Verdict,
    VerdictKind,
    finite,
)


def rule(**changes):
    values = {
        "rule": "errors_vs_stable",
        "state": RuleState.OK,
        "evidence": 0.4,
        "limit": 100.0,
        "stable": ArmCounts(5760, 12),
        "candidate": ArmCounts(640, 2),
        "interval": (0.0004, 0.011),
        "explanation": "nothing speaks for a higher rate",
    }
    return RuleVerdict(**(values | changes))


def test_verdict_as_json_has_the_shape_of_the_api():
    verdict = Verdict(VerdictKind.INCONCLUSIVE, "no harm seen", (rule(),))
    shown = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert (shown["kind"], shown["summary"]) == ("inconclusive", "no harm seen")
    assert shown["rules"][0] == {
        "rule": "errors_vs_stable",
        "state": "ok",
        "evidence": 0.4,
        "limit": 100.0,
        "stable": {"requests": 5760, "errors": 12},
        "candidate": {"requests": 640, "errors": 2},
        "interval": [0.0004, 0.011],
        "stable_interval": None,
        "counted": "errors",
        "explanation": "nothing speaks for a higher rate",
    }


@pytest.mark.parametrize(
    "verdict",
    [
        NO_VERDICT,
        Verdict(VerdictKind.CERTIFIED, "certified", (rule(),), 0.4, 31.0, None),
        Verdict(
            VerdictKind.NO_DATA,
            "waiting",
            (rule(stable=None, candidate=None, interval=None, state=RuleState.OFF),),
            seconds_to_certificate=95.0,
        ),
        Verdict(VerdictKind.HARM, "harm", (rule(stable_interval=(0.001, 0.002)),), 4e12, 0.0),
    ],
)
def test_verdict_survives_json(verdict):
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_verdict_from_json_without_private_keys_is_read():
    shown = {"kind": "harm", "summary": "harm", "rules": []}
    assert Verdict.from_json(shown).kind is VerdictKind.HARM


def test_evidence_without_bound_is_capped_and_no_number_is_refused():
    endless = Verdict(VerdictKind.HARM, "harm", (rule(evidence=float("inf")),), float("inf"))
    shown = endless.to_json()
    assert shown["harm_evidence"] == shown["rules"][0]["evidence"] == LARGEST_EVIDENCE
    with pytest.raises(ValueError, match="not a number"):
        finite(float("nan"))


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        (VerdictKind.INCONCLUSIVE, RuleState.OK, True),
        (VerdictKind.INCONCLUSIVE, RuleState.INCONCLUSIVE, True),
        (VerdictKind.CERTIFIED, RuleState.CERTIFIED, True),
        (VerdictKind.INCONCLUSIVE, RuleState.OFF, True),
        (VerdictKind.INCONCLUSIVE, RuleState.FLAG, False),
        (VerdictKind.INCONCLUSIVE, RuleState.NO_DATA, False),
        (VerdictKind.HARM, RuleState.HARM, False),
        (VerdictKind.SHARED_INCIDENT, RuleState.OK, False),
        (VerdictKind.NO_DATA, RuleState.OK, False),
        (VerdictKind.UNREACHABLE, RuleState.OK, False),
        (VerdictKind.NONE, RuleState.OK, False),
    ],
)
def test_verdict_lets_the_split_grow_only_when_nothing_speaks_against(kind, state, expected):
    got = Verdict(kind, "so", (rule(), rule(state=state)))
    assert got.nothing_speaks_against is expected
