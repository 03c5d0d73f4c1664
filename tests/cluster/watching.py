"""Told of changes in an API server, and a picture of its objects that is kept up to date.

Most of the time nothing changes, and asking again and again would take the time of the tests. When the API
server is away the last picture stays: traffic flows on without a control plane.
"""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from urllib3.exceptions import HTTPError

from releases.adapters.kubernetes_api import Kind
from tests.cluster.api import Api, ApiError

log = logging.getLogger(__name__)
Picture = TypeVar("Picture")
AGAIN = 0.3  # seconds until the next attempt, when the API server does not answer
AT_LEAST_EVERY, AT_MOST_EVERY = 2.0, 0.05


class Changes:
    """Objects of these kinds have changed, somewhere, since it was last asked."""

    def __init__(self, api: Api, *kinds: Kind) -> None:
        self._api = api
        self._have_come = threading.Event()
        self._ending = threading.Event()
        for kind in kinds:
            threading.Thread(
                target=self._follow, args=(kind,), name=f"watch-{kind.plural}", daemon=True
            ).start()

    def wait(self) -> bool:
        """Returns when something has changed, or after a while; False when it is over."""
        self._have_come.wait(AT_LEAST_EVERY)
        self._have_come.clear()
        return not self._ending.wait(AT_MOST_EVERY)

    def stop(self) -> None:
        self._ending.set()
        self._have_come.set()

    def _follow(self, kind: Kind) -> None:
        while not self._ending.is_set():
            try:
                for _ in self._api.watch(kind):
                    self._have_come.set()
                    if self._ending.is_set():
                        return
            except (ApiError, HTTPError, OSError) as error:
                log.debug("%s cannot be watched: %s", kind.plural, error)
                self._ending.wait(AGAIN)


class Watched(Generic[Picture]):
    """`picture` is what `look` gave last; its first look is over when the constructor returns."""

    def __init__(self, api: Api, kind: Kind, look: Callable[[], Picture]) -> None:
        self.picture = look()
        self._look = look
        self._changes = Changes(api, kind)
        self._thread = threading.Thread(target=self._run, name=f"picture-{kind.plural}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._changes.stop()
        self._thread.join(30)

    def _run(self) -> None:
        while self._changes.wait():
            try:
                self.picture = self._look()
            except (ApiError, HTTPError, OSError) as error:
                log.info("no new picture: %s", error)
