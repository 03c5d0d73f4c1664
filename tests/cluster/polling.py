"""A picture of objects in the API server, kept up to date from a thread of its own.

When the API server is away the last picture stays: traffic flows on without a control plane.
"""

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from urllib3.exceptions import HTTPError

from tests.cluster.api import ApiError

log = logging.getLogger(__name__)
Picture = TypeVar("Picture")


class Polling(Generic[Picture]):
    """`picture` is what `look` gave last; its first look is over when the constructor returns."""

    def __init__(self, name: str, look: Callable[[], Picture], every: float = 0.2) -> None:
        self.picture = look()
        self._look = look
        self._every = every
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending.wait(self._every):
            try:
                self.picture = self._look()
            except (ApiError, HTTPError, OSError) as error:
                log.info("no new picture: %s", error)
