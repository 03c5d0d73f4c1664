"""How often one caller may ask: so many requests a minute for each token and each person."""

import logging
import time

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

WINDOW_SECONDS = 60
log = logging.getLogger(__name__)


class CallerThrottle(BaseThrottle):
    """Counts in windows of a minute, in Redis, so that all web processes count together.

    Without Redis nobody is refused: the limit guards against runaway scripts, not against attackers."""

    def __init__(self) -> None:
        self._left = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Whether this request is within the limit (setting API_RATE)."""
        now = time.time()
        window, passed = divmod(now, WINDOW_SECONDS)
        self._left = WINDOW_SECONDS - passed
        kind, caller = ("token", request.auth) if request.auth else ("user", request.user)
        key = f"api-rate:{kind}:{caller.pk}:{window:.0f}"
        try:
            cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
            return cache.incr(key) <= settings.API_RATE
        except (RedisError, ValueError) as error:  # ValueError: evicted between the two calls
            log.warning("requests are not counted: %s", error)
            return True

    def wait(self) -> float:
        """Seconds until the next window."""
        return self._left
