"""The containers of an ensemble that runs as a graph of Seldon: the combiner, and a member beside it.

    python -m serving.combiner                        the combiner; what it does is in its parameters
    python -m serving.combiner --model /mnt/models    a member: one MLflow model, asked over `/predict`

`Combiner` may as well be served by Seldon's own wrapper. The server speaks Seldon's protocol over HTTP, as
the executor calls it (`/aggregate`, `/predict`). Seldon's own server of MLflow models cannot load what
MLflow 3 saves, which is why the members have one here. Knows no graph.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import uvicorn
from mlflow.pyfunc import PyFuncModel, load_model
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from serving import combining, seldon_messages
from serving.composition import Shape, core_problems, normalised
from serving.errors import CannotLoad, MemberFailed, RequestRefused

PORT = 9000
Answering = Callable[[Any], dict[str, Any]]


class Combiner:
    """What Seldon calls a combiner: a class with `aggregate`.

    Its arguments are texts because they are parameters of a graph: `members` and `weights` with commas
    between, in the order of the graph's children."""

    def __init__(self, combine: str = "mean_of_probabilities", members: str = "", weights: str = "") -> None:
        names = [name.strip() for name in members.split(",") if name.strip()]
        if combine not in combining.CHECKS:
            raise CannotLoad(f"combine is {combine!r}, none of {', '.join(combining.CHECKS)}")
        if not names or len(set(names)) != len(names):
            raise CannotLoad("the parameter `members` has to name each member of the ensemble once")
        self._combine = combine
        self._names = names
        self._weights = _weights(names, weights)
        self.class_names: list[str] = []
        """Of the last answer; Seldon's wrapper puts them into the message."""

    def aggregate(
        self, features_list: Sequence[np.ndarray], feature_names_list: Sequence[Sequence[str]]
    ) -> np.ndarray:
        """One answer out of those of all members, each with the names of its columns (or none).

        Raises `MemberFailed`, naming the member whose answer cannot be used."""
        if len(features_list) != len(self._names):
            raise MemberFailed(
                f"{len(features_list)} answers came for {len(self._names)} members: {', '.join(self._names)}"
            )
        tables = [
            _named(answer, names) for answer, names in zip(features_list, feature_names_list, strict=True)
        ]
        usable = []
        shape: Shape | None = None
        for name, table in zip(self._names, tables, strict=True):
            try:
                shape = shape or combining.shape_of(table)
                array = combining.values(table, shape, len(tables[0]))
                combining.CHECKS[self._combine](array)
            except combining.Unusable as error:
                raise MemberFailed(f"member {name} {error}") from error
            usable.append(array)
        self.class_names = list(shape.columns) if shape and shape.columns else []
        combine = combining.weighted_vote if self._combine == "vote" else combining.weighted_mean
        return combine(usable, self._weights)


def combined(combiner: Combiner) -> Answering:
    """Answers what the executor posts to `/aggregate`."""

    def answer(content: Any) -> dict[str, Any]:
        messages = seldon_messages.messages(content)
        read = [seldon_messages.read(message) for message in messages]
        array = combiner.aggregate([array for array, _ in read], [names for _, names in read])
        names = read[0][1]
        return seldon_messages.written(array, names, messages[0]) | {
            "meta": seldon_messages.merged_meta(messages)
        }

    return answer


def predicted(model: PyFuncModel) -> Answering:
    """Answers what the executor posts to `/predict`: a table, its columns named as in the signature."""
    signature = model.metadata.signature
    expected = [str(name) for name in signature.inputs.input_names()] if signature else []

    def answer(content: Any) -> dict[str, Any]:
        if not isinstance(content, Mapping):
            raise RequestRefused("the body is no Seldon message")
        array, names = seldon_messages.read(content)
        if array.ndim != 2 or array.shape[1] != len(names or expected):
            wanted = f"{len(names or expected)} columns: {', '.join((names or expected)[:20])}"
            raise RequestRefused(f"the array has the shape {array.shape}; expected are {wanted}")
        found = model.predict(pd.DataFrame(array, columns=names or expected))
        columns = [str(column) for column in found.columns] if isinstance(found, pd.DataFrame) else []
        return seldon_messages.written(np.asarray(found), columns, content)

    return answer


def application(path: str, answering: Answering) -> Starlette:
    """The server of one container; it is ready when it listens."""

    async def asked(request: Request) -> Response:
        try:
            content = json.loads(await request.body())
            return JSONResponse(await run_in_threadpool(answering, content))  # raises for NaN, too
        except (RequestRefused, json.JSONDecodeError, UnicodeDecodeError) as error:
            return JSONResponse(seldon_messages.failure(f"bad request: {error}", 400), 400)
        except Exception as error:  # the executor needs a message of the protocol, whatever went wrong
            words = str(error) if isinstance(error, MemberFailed) else f"{type(error).__name__}: {error}"
            return JSONResponse(seldon_messages.failure(words, 500), 500)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok")

    healthy = ("/live", "/ready", "/health/ping", "/health/status", "/api/v1.0/health/status")
    return Starlette(
        routes=[
            Route(path, asked, methods=["POST"]),
            *(Route(health, alive, methods=["GET"]) for health in healthy),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m serving.combiner", description="Containers of a graph.")
    parser.add_argument("--model", metavar="FOLDER", help="serve this MLflow model as a member")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  # in a pod of its own
    parser.add_argument("--port", type=int, default=_port(), help="else as Seldon's operator says")
    options = parser.parse_args(arguments)
    if options.model:
        served = application("/predict", predicted(load_model(options.model)))
    else:
        try:
            served = application("/aggregate", combined(Combiner(**_parameters())))
        except (CannotLoad, TypeError, ValueError) as error:
            parser.error(f"PREDICTIVE_UNIT_PARAMETERS: {error}")
    uvicorn.run(served, host=options.host, port=options.port, log_level="warning")


def _weights(names: Sequence[str], text: str) -> list[float]:
    """Normalised; equal ones for an empty text. Raises `CannotLoad`."""
    if not text.strip():
        return [1 / len(names)] * len(names)
    try:
        given = [float(weight) for weight in text.split(",")]
    except ValueError as error:
        raise CannotLoad(f"the parameter `weights` is {text!r}: numbers with commas between") from error
    if len(given) != len(names):
        raise CannotLoad(f"{len(given)} weights were given for {len(names)} members: {', '.join(names)}")
    members = {name: {"weight": weight} for name, weight in zip(names, given, strict=True)}
    for place, message in core_problems({"kind": "ensemble", "members": members}):
        raise CannotLoad(f"{'.'.join(map(str, place))}: {message}")
    return list(normalised(dict(zip(names, given, strict=True))).values())


def _named(answer: np.ndarray, names: Sequence[str]) -> Any:
    """With names a table, so that two members with their classes in another order still agree."""
    if answer.ndim == 2 and names and len(names) == answer.shape[1]:
        return pd.DataFrame(answer, columns=list(names))
    return answer


def _parameters() -> dict[str, str]:
    """The parameters of the graph's node, as the operator hands them over."""
    given = json.loads(os.environ.get("PREDICTIVE_UNIT_PARAMETERS") or "[]")
    return {each["name"]: str(each["value"]) for each in given}


def _port() -> int:
    return int(os.environ.get("PREDICTIVE_UNIT_HTTP_SERVICE_PORT") or PORT)


if __name__ == "__main__":
    main()
