"""Builds a composed model from a spec, logs it to MLflow and registers it through the portal.

    MLFLOW_TRACKING_URI=… python -m serving compose SPEC.yaml …

What the spec pins is copied into the model; nothing is fetched when it is loaded later. Members are loaded
and asked here once, so that a composition which cannot answer is never logged: run it where you would
run the training that made them.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seconds rather than minutes

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from serving import agreement, blocks, requirements, spec
from serving.composition import (
    FILE,
    MEMBERS_FOLDER,
    METADATA_KEY,
    Composition,
    Core,
    Member,
    build,
    normalised,
    rules_of,
)
from serving.cores import LoadedMember, core_of
from serving.errors import CannotLoad, Problem, Unreachable
from serving.members import copy, resolve
from serving.portal import Portal

ARTIFACT_PATH = "model"
CODE = Path(__file__).with_name("composed_model.py")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A composed model on disk, ready to be logged."""

    composition: Composition
    draft: blocks.Draft


def prepare(asked: spec.Spec, client: MlflowClient, folder: Path) -> Prepared:
    """Fetch the members into `folder`, check them against each other, let the blocks change the draft.

    Raises `Problem` and `Unreachable`."""
    members = fetch(asked.core, client, folder)
    return assemble(asked, members, folder)


def fetch(core: Mapping[str, Any], client: MlflowClient, folder: Path) -> list[Member]:
    """The pinned members, all resolved before the first is copied below `folder`."""
    wanted: Mapping[str, Mapping[str, Any]] = core["members"]
    weights = {name: float(each["weight"]) for name, each in wanted.items() if "weight" in each}
    weights = normalised(weights) if weights else {}
    if core["kind"] == "ensemble":
        weights = weights or dict.fromkeys(wanted, 1 / len(wanted))
    found = [
        resolve(client, name, each, (*agreement.MEMBERS, name), weights.get(name))
        for name, each in wanted.items()
    ]
    (folder / MEMBERS_FOLDER).mkdir(parents=True)
    return [
        replace(
            member,
            digest=copy(
                client, member, folder / MEMBERS_FOLDER / member.name, (*agreement.MEMBERS, member.name)
            ),
        )
        for member in found
    ]


def assemble(asked: spec.Spec, members: list[Member], folder: Path) -> Prepared:
    """The model from members that lie in `folder`; its core has answered the input example."""
    models = _loaded(members, folder)
    folders = {name: folder / MEMBERS_FOLDER / name for name in models}
    inputs = agreement.agreed_inputs(models)
    params = agreement.agreed_parameters(models, routed=asked.core["kind"] == "router")
    example = agreement.example_of(models, {name: str(path) for name, path in folders.items()})
    combine = asked.core.get("combine")
    shape, _ = agreement.agreed_answer(models, example, combine)
    core = Core(
        kind=asked.core["kind"],
        members=tuple(members),
        combine=combine,
        at_least=asked.core.get("on_failure", {}).get("at_least"),
        answer=shape if combine else None,
        rules=rules_of(asked.core["rules"]) if "rules" in asked.core else None,
    )
    answering = core_of(core, {name: LoadedMember(name, model) for name, model in models.items()})
    answer = answering.predict(example, {})
    draft = blocks.Draft(
        model=asked.model,
        identity=uuid.uuid4().hex,
        folder=folder,
        signature=agreement.signature_of(inputs, answer, params),
        input_example=example,
        requirements=requirements.needed(folders),
    )
    documents = blocks.compose_blocks(asked.blocks, draft)
    composition = Composition(asked.model, draft.identity, core, documents)
    document = json.dumps(build(composition), indent=2, ensure_ascii=False)
    (folder / FILE).write_text(document + "\n", encoding="utf-8")
    return Prepared(composition, draft)


def model_arguments(prepared: Prepared, code: Path) -> dict[str, Any]:
    """What `mlflow.pyfunc.save_model` and `log_model` need; `code` is a folder for a copy of this package."""
    draft = prepared.draft
    package = code / __package__
    shutil.copytree(Path(__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    return {
        "python_model": str(CODE),
        "artifacts": {path.stem: str(path) for path in sorted(draft.folder.iterdir())},
        "code_paths": [str(package)],
        "signature": draft.signature,
        "input_example": draft.input_example,
        "pip_requirements": draft.requirements,
        "metadata": {METADATA_KEY: build(prepared.composition)},
    }


def log(prepared: Prepared) -> str:
    """Log the model to a new run; returns the run's id. Raises `Unreachable`."""
    composition = prepared.composition
    pinned = {f"member.{each.name}": f"{each.model} {each.version}" for each in composition.core.members}
    try:
        with (
            TemporaryDirectory() as code,
            mlflow.start_run(run_name=f"compose {composition.model}") as run,
        ):
            mlflow.log_params({"core": composition.core.kind, **pinned})
            mlflow.pyfunc.log_model(name=ARTIFACT_PATH, **model_arguments(prepared, Path(code)))
    except MlflowException as error:
        raise Unreachable(f"MLflow did not take the model: {' '.join(str(error).split())[:500]}") from error
    run_id: str = run.info.run_id
    return run_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m serving compose`."""
    parser.description = "Build a model from pinned versions of others, log it and register it."
    parser.add_argument("specs", type=Path, nargs="+", metavar="SPEC", help="what to build, YAML")
    parser.add_argument("--log-only", action="store_true", help="do not register")


def run(options: argparse.Namespace) -> int:
    """Compose one after the other; one JSON line each on the standard output, all else on standard error."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        sys.stderr.write("MLFLOW_TRACKING_URI has to say where MLflow is\n")
        return 2
    portal = Portal.of(os.environ)
    if portal is None and not options.log_only:
        sys.stderr.write("PORTAL_URL, PORTAL_TOKEN and PORTAL_TENANT have to be set, or --log-only said\n")
        return 2
    for file in options.specs:
        done = compose(spec.load(file), None if options.log_only else portal)
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()
    return 0


def compose(asked: spec.Spec, portal: Portal | None) -> dict[str, str]:
    """Prepare, log, and with a portal register; what the command prints."""
    with contextlib.redirect_stdout(sys.stderr), TemporaryDirectory() as folder:  # MLflow prints links
        try:
            prepared = prepare(asked, MlflowClient(), Path(folder))
        except Problem as problem:
            raise asked.bad([problem]) from problem
        run_id = log(prepared)
    done = {"run_id": run_id, "model": asked.model, "artifact_path": ARTIFACT_PATH}
    if portal is not None:
        done["version"] = portal.register(asked.model, run_id, ARTIFACT_PATH, asked.change, asked.description)
    return done


def _loaded(members: list[Member], folder: Path) -> dict[str, PyFuncModel]:
    loaded = {}
    for member in members:
        try:
            loaded[member.name] = mlflow.pyfunc.load_model(str(folder / MEMBERS_FOLDER / member.name))
        except CannotLoad as error:
            raise Problem((*agreement.MEMBERS, member.name), f"it does not load: {error}") from error
        except Exception as error:
            words = f"it does not load: {type(error).__name__}: {error}"
            raise Problem((*agreement.MEMBERS, member.name), " ".join(words.split())[:500]) from error
    return loaded
