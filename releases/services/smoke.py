"""The smoke test: the candidate's own input example, asked through the real gateway.

The header x-portal-deployment brings the request to the candidate while its weight is still 0. The answer
has to look like the one that the model gave in validation. No answer yet is no failure: the gateway learns
of a new deployment a moment after it is ready; the plan's deadline ends the waiting.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from releases.domain.release import Phase, Progress, Work
from releases.models import Endpoint, Release, ValidationCheck
from releases.models.places import TargetKind
from releases.ports import Answer, Ports, Unreachable
from releases.services import locks
from releases.services.checks import Line, Outcome, Result, Stage, by_release, failed, passed
from releases.services.entrances import entrances
from releases.services.world import candidate_ref

logger = logging.getLogger(__name__)

DEPLOYMENT_HEADER = "x-portal-deployment"
REQUESTS = 3
TIMEOUT_SECONDS = 10.0
CHECKS = ("status", "outputs", "latency")
# The gateway does not know the deployment or the caller's key yet, or cannot connect yet.
_TOO_EARLY = frozenset({401, 403, 404, 502, 503, 504})

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is asked, and what the answer looked like in validation."""

    example: Mapping[str, Any]
    outputs: Sequence[Mapping[str, Any]]


def smoke_test(release_id: str, ports: Ports, clock: Clock) -> None:
    """Ask the candidate and write down the result; nothing when another worker is at it or it is done."""
    with locks.held("smoke", release_id) as is_ours:
        if not is_ours:
            return
        release = (
            Release.objects.select_related(
                "endpoint__tenant", "endpoint__environment", "endpoint__model", "version"
            )
            .filter(pk=release_id, phase=Phase.SMOKE_TESTING)
            .first()
        )
        if release is None or smoke_progress([release])[release.pk].progress is not Progress.PENDING:
            return
        _run(release, ports, clock)


def _run(release: Release, ports: Ports, clock: Clock) -> None:
    line = Line.begin(release, Stage.SMOKE, 1, CHECKS[0], clock())
    expected = _expected(release)
    if expected is None:
        line.end(failed("no validation of this version has kept an input example to ask with"), clock())
        return
    try:
        answers = _ask(release, expected, ports)
    except Unreachable as error:
        line.wait(f"no answer yet: {error}")
        return
    early = next((answer for answer in answers if answer.status in _TOO_EARLY), None)
    if early is not None:
        line.wait(f"no answer yet: the gateway says {early.status}{_said(early)}")
        return
    results = (_status(answers), _outputs(answers, expected), _latency(answers))
    # The first row is ended last: as long as one is running there is no result.
    for position in (2, 3):
        later = Line.begin(release, Stage.SMOKE, position, CHECKS[position - 1], clock())
        later.end(results[position - 1], clock())
    line.end(results[0], clock())


def _ask(release: Release, expected: Expected, ports: Ports) -> list[Answer]:
    url = ports.router.url(release.endpoint.route)
    headers = {**_credentials(release.endpoint, url), DEPLOYMENT_HEADER: candidate_ref(release)}
    answers: list[Answer] = []
    for _ in range(REQUESTS):
        answers.append(ports.gateway.infer(url, expected.example, headers, TIMEOUT_SECONDS))
        if answers[-1].status != 200:
            break
    return answers


def _credentials(endpoint: Endpoint, url: str) -> dict[str, str]:
    """What a caller of this endpoint has to send; known gateways of clusters see the portal's token."""
    headers = dict(entrances([endpoint])[endpoint.pk].headers)
    is_known = urlsplit(url).hostname in settings.GATEWAY_TOKEN_HOSTS
    if settings.GATEWAY_TOKEN_FILE and is_known and endpoint.environment.target == TargetKind.SELDON:
        try:
            # Read each time: a projected token is replaced long before it expires.
            token = Path(settings.GATEWAY_TOKEN_FILE).read_text().strip()
            headers["authorization"] = f"Bearer {token}"
        except OSError as error:
            raise Unreachable(f"GATEWAY_TOKEN_FILE cannot be read: {error}") from error
    return headers


def _expected(release: Release) -> Expected | None:
    """From this release's validation; a return to a version finds that of the release it came with."""
    row = (
        ValidationCheck.objects.filter(
            release__version=release.version,
            stage=Stage.VALIDATION,
            name="loads",
            outcome=Outcome.PASS,
            release__digest=release.digest,
        )
        .order_by("-release_id")
        .first()
    )
    if row is None or not row.detail.get("example"):
        return None
    return Expected(row.detail["example"], row.detail.get("outputs", []))


def _status(answers: Sequence[Answer]) -> Result:
    last = answers[-1]
    detail = {"status": [answer.status for answer in answers]}
    if last.status != 200:
        return failed(
            f"the model answered its input example with status {last.status}{_said(last)}", **detail
        )
    return passed(f"{len(answers)} answers with status 200", **detail)


def _outputs(answers: Sequence[Answer], expected: Expected) -> Result:
    wanted = [_shape(output) for output in expected.outputs]
    answered = [answer for answer in answers if answer.status == 200]
    if not answered:
        return Result(Outcome.SKIPPED, "there is no answer to look at")
    for answer in answered:
        outputs = None if answer.body is None else answer.body.get("outputs")
        if not isinstance(outputs, list) or not all(isinstance(output, Mapping) for output in outputs):
            return failed("the answer is not one of the inference protocol", expected=wanted)
        found = [_shape(output) for output in outputs]
        if found != wanted:
            words = f"{_in_words(found)} through the gateway, {_in_words(wanted)} in validation"
            return failed(words, expected=wanted, outputs=found)
    return passed(f"{_in_words(wanted)}, as in validation", outputs=wanted)


def _latency(answers: Sequence[Answer]) -> Result:
    milliseconds = [round(1_000 * answer.seconds, 2) for answer in answers]
    words = ", ".join(f"{value:.0f}" if value >= 10 else f"{value:.1f}" for value in milliseconds)
    return passed(f"{words} ms", milliseconds=milliseconds)


def _shape(output: Mapping[str, Any]) -> dict[str, Any]:
    return {name: output.get(name) for name in ("name", "datatype", "shape")}


def _in_words(outputs: Sequence[Mapping[str, Any]]) -> str:
    """ "output-1 INT64 [1, 1]"."""
    return ", ".join(f"{o['name']} {o['datatype']} {o['shape']}" for o in outputs) or "no output"


def _said(answer: Answer) -> str:
    """The error in the answer's body, if there is one."""
    said = None if answer.body is None else answer.body.get("error") or answer.body.get("message")
    return f": {str(said)[:300]}" if said else ""


def smoke_progress(releases: Sequence[Release]) -> dict[str, Work]:
    """Release id -> how far its smoke test is; one query."""
    rows = by_release(releases, Stage.SMOKE) if releases else {}
    return {release.pk: _work(rows.get(release.pk, [])) for release in releases}


def _work(rows: Sequence[ValidationCheck]) -> Work:
    for row in rows:
        if row.outcome == Outcome.RUNNING:
            return Work(Progress.PENDING, row.reason or "asking the candidate through the gateway")
    failures = [row.reason for row in rows if row.outcome == Outcome.FAIL]
    if failures:
        return Work(Progress.FAILED, "; ".join(failures))
    if not rows:
        return Work(Progress.PENDING, "waits for a worker to ask the candidate")
    return Work(Progress.PASSED, "; ".join(row.reason for row in rows if row.name != "status"))
