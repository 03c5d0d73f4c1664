"""Where MLflow tells that something has happened to a version, so that nobody has to wait for the next poll.

Outside of tenants and without a session: the signature is the way in. The answers are problem documents like
everywhere, and a note where nothing had to be done.
"""

import logging
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from kombu.exceptions import OperationalError

from releases.adapters.registry.mlflow_messages import NotReadable, NotSigned, Reader
from releases.api.problems import Problem, describe
from releases.ports import RegistryNotice
from releases.services import catalog

LARGEST_BODY = 1_000_000
LOOK = "releases.tasks.look_where_asked"
log = logging.getLogger(__name__)


@csrf_exempt
def mlflow(request: HttpRequest) -> HttpResponse:
    """Take a message: 202 when a model is looked at because of it, 200 when there is nothing to do."""
    if request.method != "POST":
        problem = Problem(
            405, "method_not_allowed", "MLflow sends its messages by POST.", headers={"Allow": "POST"}
        )
        return problem.response()
    if not settings.MLFLOW_WEBHOOK_SECRET:
        return Problem(
            503, "no_secret", "The portal has no MLFLOW_WEBHOOK_SECRET to check messages with."
        ).response()
    try:
        return _take(request)
    except NotSigned as error:
        log.warning("a message to the webhook was refused: %s", error)
        headers = {"WWW-Authenticate": "X-MLflow-Signature"}
        return Problem(401, "bad_signature", str(error), headers=headers).response()
    except NotReadable as error:
        return Problem(422, "invalid", str(error), {"body": [str(error)]}).response()
    except Exception as error:
        problem = describe(error)
        if problem.status >= 500:
            log.exception("a message of the registry was not taken")
        return problem.response()


def _take(request: HttpRequest) -> HttpResponse:
    body = request.read(LARGEST_BODY + 1)
    if len(body) > LARGEST_BODY:
        return Problem(413, "too_large", f"A message has at most {LARGEST_BODY} bytes.").response()
    at, window = timezone.now(), timedelta(seconds=settings.MLFLOW_WEBHOOK_WINDOW)
    notice = Reader(settings.MLFLOW_WEBHOOK_SECRET, window).read(request.headers, body, at)
    if catalog.hear(notice, window, at) is None:
        return JsonResponse({"noted": _why_nothing(notice)})
    _send_for_a_look(notice)  # what it asked for is committed
    return JsonResponse({"noted": f"{notice.event}: {notice.model} is looked at now"}, status=202)


def _why_nothing(notice: RegistryNotice) -> str:
    if not notice.model:
        return f"{notice.event} tells nothing of a version"
    return f"{notice.event}: no tenant has a model {notice.model[:100]!r}"


def _send_for_a_look(notice: RegistryNotice) -> None:
    """Without a broker the next poll looks: what was asked for is in the database."""
    try:
        current_app.send_task(LOOK, expires=10, retry=False)
    except OperationalError as error:
        log.warning("%s of %s waits for the next poll: %s", notice.event, notice.model, error)
