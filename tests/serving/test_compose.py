"""Composing without a registry: what the model answers anywhere, and what makes members disagree."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc import load_model
from mlflow.types import ParamSchema, ParamSpec

from releases.domain.compatibility import compare
from releases.services import artifacts
from releases.services.pickle_scan import scan
from serving.cores import TIER
from serving.digests import digest
from serving.errors import CannotLoad, MemberFailed, Problem, RequestRefused
from tests.serving import composed
from tests.serving.composed import ROWS

RULES = {
    "tiers": {"premium": "best", "standard": "balanced"},
    "other": "fast",
    "without_tier": {"fewer_rows_than": 100, "small": "best", "large": "fast"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where members are saved: `folder / "members" / name`."""
    (tmp_path / "work" / "members").mkdir(parents=True)
    return tmp_path / "work"


def refused(folder: Path, core: dict[str, Any]) -> tuple[Any, str]:
    """Where and why this core is refused."""
    with pytest.raises(Problem) as raised:
        composed.assembled(folder, composed.write_spec(folder.parent / "spec.yaml", core))
    return raised.value.place, raised.value.message


def test_ensemble_answers_the_mean_of_probabilities_in_another_process(folder: Path) -> None:
    one = composed.save_classifier(folder / "members" / "one")
    two = composed.save_classifier(folder / "members" / "two", C=0.01)
    core = composed.core("ensemble", {"one": 1, "two": 3}, combine="mean_of_probabilities")
    asked = composed.write_spec(folder.parent / "spec.yaml", core)
    model = composed.saved(composed.assembled(folder, asked), folder.parent)
    script = (
        "import json, sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('model')\n"
        "assert 'serving' in sys.modules and '/code/' in sys.modules['serving'].__file__\n"
        "json.dump(model.predict(pd.DataFrame(json.load(open('rows')))).tolist(), open('answer', 'w'))\n"
    )
    (folder.parent / "rows").write_text(ROWS.to_json())
    environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [sys.executable, "-c", script], cwd=folder.parent, env=environment, check=True, timeout=100
    )
    answer = np.array(json.loads((folder.parent / "answer").read_text()))
    expected = 0.25 * load_model(str(one)).predict(ROWS) + 0.75 * load_model(str(two)).predict(ROWS)
    assert answer == pytest.approx(expected, abs=1e-12)

    document = composed.document_of(model)
    assert document == load_model(str(model)).metadata.metadata["composition"]
    assert [member["weight"] for member in document["core"]["members"]] == [0.25, 0.75]
    assert document["core"]["on_failure"] == {"policy": "fail"}
    found = scan(model)
    assert (found.dangerous, found.suspicious) == ((), ())


def test_digest_of_a_member_is_what_the_portal_computes(folder: Path) -> None:
    member = composed.save_classifier(folder / "members" / "one")
    assert digest(member) == artifacts.digest(member)


def test_signature_of_a_composed_model_is_that_of_its_members(folder: Path) -> None:
    one = composed.save_classifier(folder / "members" / "one")
    model = composed.loaded(
        folder, composed.write_spec(folder.parent / "s.yaml", composed.core("single", {"one": None}))
    )
    before, after = (each.metadata.signature.to_dict() for each in (load_model(str(one)), model))
    parts = [
        {part: json.loads(text) for part, text in signature.items() if text} for signature in (before, after)
    ]
    assert compare(*parts).differences == ()
    assert np.array_equal(model.predict(ROWS), load_model(str(one)).predict(ROWS))


def test_router_answers_by_tier_and_by_rows(folder: Path) -> None:
    for name, value in (("best", 1.0), ("balanced", 2.0), ("fast", 3.0)):
        composed.save_constant(folder / "members" / name, value)
    core = composed.core("router", dict.fromkeys(("best", "balanced", "fast")), rules=RULES)
    model = composed.loaded(folder, composed.write_spec(folder.parent / "s.yaml", core))
    assert model.predict(ROWS, params={TIER: "premium"})[0] == 1.0
    assert model.predict(ROWS, params={TIER: "standard"})[0] == 2.0
    assert model.predict(ROWS, params={TIER: "gold"})[0] == 3.0
    assert model.predict(ROWS)[0] == 1.0
    assert model.predict(pd.concat([ROWS] * 20))[0] == 3.0
    assert [each.name for each in model.metadata.signature.params.params] == [TIER]


def test_vote_answers_the_label_with_the_most_weight(folder: Path) -> None:
    """Two of three say what the third, which was trained on swapped labels, does not."""
    swapped = ["a", "a", "a", "b", "b", "b"]
    for name, labels in (("one", swapped[::-1]), ("two", swapped), ("three", swapped)):
        composed.save_classifier(folder / "members" / name, answers="predict", labels=labels)
    heads = composed.core("ensemble", dict.fromkeys(("one", "two", "three")), combine="vote")
    model = composed.loaded(folder, composed.write_spec(folder.parent / "s.yaml", heads))
    assert list(model.predict(ROWS.iloc[[0, 5]])) == ["a", "b"]


def test_vote_of_members_that_answer_numbers_and_texts_is_refused(folder: Path) -> None:
    for name, labels in (("one", ["0", "0", "0", "1", "1", "1"]), ("two", [0, 0, 0, 1, 1, 1])):
        composed.save_classifier(folder / "members" / name, answers="predict", labels=labels)
    place, message = refused(folder, composed.core("ensemble", {"one": None, "two": None}, combine="vote"))
    assert place == ("core", "members", "two")
    assert re.fullmatch("it answers int64, and one answers .*", message)


def test_empty_batch_is_refused_in_words(folder: Path) -> None:
    composed.save_constant(folder / "members" / "one", 1.0)
    asked = composed.write_spec(folder.parent / "s.yaml", composed.core("single", {"one": None}))
    with pytest.raises(RequestRefused, match="the request has no rows"):
        composed.loaded(folder, asked).predict(ROWS.head(0))


def test_member_that_answers_nan_for_a_row_fails_the_request_by_name(folder: Path) -> None:
    composed.save_constant(folder / "members" / "good", 1.0)
    body = "return np.where(model_input['a'] > 4, np.nan, 0.5)"
    composed.save_coded(folder / "members" / "odd", body)
    core = composed.core("ensemble", {"good": None, "odd": None}, combine="mean")
    model = composed.loaded(folder, composed.write_spec(folder.parent / "s.yaml", core))
    assert model.predict(ROWS.head(2)).tolist() == [0.75, 0.75]
    with pytest.raises(MemberFailed, match="member odd answered nan in row 6"):
        model.predict(ROWS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [np.nan] * len(model_input)", "it answered nan in row 1"),
        ("return np.zeros((len(model_input), 2))", "it answered 2 values a row instead of one value a row"),
        ("return [0.5]", "it answered 1 rows for 3"),
        ("return ['x'] * len(model_input)", "it answered .* values, of which there is no mean"),
        ("return 1 / 0", "it does not predict the input example: ZeroDivisionError: division by zero"),
    ],
)
def test_member_whose_answer_cannot_be_combined_is_named(folder: Path, body: str, said: str) -> None:
    composed.save_constant(folder / "members" / "good", 1.0)
    composed.save_coded(folder / "members" / "bad", body)
    place, message = refused(folder, composed.core("ensemble", {"good": None, "bad": None}, combine="mean"))
    assert place == ("core", "members", "bad")
    assert re.match(said, message), message


def test_members_with_different_classes_are_refused(folder: Path) -> None:
    composed.save_classifier(folder / "members" / "one")
    composed.save_classifier(folder / "members" / "two", labels=[0, 0, 0, 1, 1, 3])
    core = composed.core("ensemble", {"one": None, "two": None}, combine="mean_of_probabilities")
    assert refused(folder, core) == (
        ("core", "members", "two"),
        "its classes are 0, 1, 3, and those of one are 0, 1, 2",
    )


def test_members_with_another_number_of_classes_are_refused(folder: Path) -> None:
    composed.save_classifier(folder / "members" / "one")
    composed.save_classifier(folder / "members" / "two", labels=[0, 0, 0, 1, 1, 1])
    core = composed.core("ensemble", {"one": None, "two": None}, combine="mean_of_probabilities")
    place, message = refused(folder, core)
    assert place == ("core", "members", "two")
    assert message.startswith("it answered 2 values a row instead of 3 values a row")


def test_members_that_answer_labels_have_no_mean_of_probabilities(folder: Path) -> None:
    for name in ("one", "two"):
        composed.save_classifier(folder / "members" / name, answers="predict")
    core = composed.core("ensemble", {"one": None, "two": None}, combine="mean_of_probabilities")
    place, message = refused(folder, core)
    assert place == ("core", "members", "one")
    assert message.endswith('log a classifier with pyfunc_predict_fn="predict_proba"')


def test_members_with_other_inputs_are_refused(folder: Path) -> None:
    composed.save_constant(folder / "members" / "one", 1.0)
    rows = ROWS.rename(columns={"b": "c"}).astype({"a": "int64"})
    composed.save_coded(
        folder / "members" / "two", "return [1.0] * len(model_input)", infer_signature(rows, [0.5]), rows
    )
    place, message = refused(folder, composed.core("ensemble", {"one": None, "two": None}, combine="mean"))
    assert place == ("core", "members", "two")
    assert message == (
        "its inputs differ from those of one: a is long instead of double; b is not there instead of double; "
        "c is double instead of not there"
    )


def test_member_with_the_routers_parameter_is_refused(folder: Path) -> None:
    params = ParamSchema([ParamSpec(TIER, "string", "x")])
    signature = infer_signature(ROWS, [0.5])
    signature.params = params
    for name in ("best", "balanced"):
        composed.save_constant(folder / "members" / name, 1.0)
    composed.save_coded(folder / "members" / "fast", "return [1.0] * len(model_input)", signature)
    core = composed.core("router", dict.fromkeys(("best", "balanced", "fast")), rules=RULES)
    place, message = refused(folder, core)
    assert (place, message) == (
        ("core", "members", "fast"),
        "it has a parameter customer_tier of its own, which is the router's",
    )


def test_member_gets_the_parameters_that_it_knows(folder: Path) -> None:
    signature = infer_signature(ROWS, [0.5])
    signature.params = ParamSchema([ParamSpec("scale", "double", 2.0)])
    composed.save_coded(
        folder / "members" / "scaled", "return [params['scale']] * len(model_input)", signature
    )
    composed.save_constant(folder / "members" / "plain", 0.0)
    core = composed.core("ensemble", {"scaled": None, "plain": None}, combine="mean")
    model = composed.loaded(folder, composed.write_spec(folder.parent / "s.yaml", core))
    assert model.predict(ROWS)[0] == 1.0
    assert model.predict(ROWS, params={"scale": 5.0})[0] == 2.5


def test_members_that_pin_one_package_differently_are_refused(folder: Path) -> None:
    for name, line in (("one", "scikit-learn==1.8.0"), ("two", "Scikit_Learn==1.9.0")):
        member = composed.save_constant(folder / "members" / name, 1.0)
        (member / "requirements.txt").write_text(f"{line}\n")
    place, message = refused(folder, composed.core("ensemble", {"one": None, "two": None}, combine="mean"))
    assert place == ("core", "members", "two")
    assert message.startswith("it needs Scikit_Learn==1.9.0, and one needs scikit-learn==1.8.0")


def test_member_that_does_not_load_is_named(folder: Path) -> None:
    member = composed.save_constant(folder / "members" / "one", 1.0)
    (member / "model.skops").write_bytes(b"no archive")
    place, message = refused(folder, composed.core("single", {"one": None}))
    assert place == ("core", "members", "one")
    assert message.startswith("it does not load: ")


def test_composed_model_whose_member_was_damaged_does_not_load(folder: Path) -> None:
    composed.save_constant(folder / "members" / "one", 1.0)
    asked = composed.write_spec(folder.parent / "s.yaml", composed.core("single", {"one": None}))
    model = composed.saved(composed.assembled(folder, asked), folder.parent)
    (model / "artifacts" / "members" / "one" / "model.skops").write_bytes(b"no archive")
    with pytest.raises(CannotLoad, match="member one did not load"):
        load_model(str(model))


def test_composed_model_can_be_a_member_itself(folder: Path) -> None:
    composed.save_constant(folder / "members" / "one", 4.0)
    asked = composed.write_spec(folder.parent / "s.yaml", composed.core("single", {"one": None}))
    inner = composed.saved(composed.assembled(folder, asked), folder.parent)
    outer = folder.parent / "outer"
    (outer / "members").mkdir(parents=True)
    inner.rename(outer / "members" / "inner")
    again = composed.write_spec(folder.parent / "s.yaml", composed.core("single", {"inner": None}))
    assert composed.loaded(outer, again).predict(ROWS)[0] == 4.0
