"""What the local target would write for a deployment: MLServer's settings, shown before it is done."""

from collections.abc import Callable

from releases.ports import Deployment, Preview


class LocalPreflight:
    """Port `Preflight`; `preview` is the local target's own."""

    def __init__(self, preview: Callable[[Deployment], Preview]) -> None:
        self._preview = preview

    def preview(self, deployment: Deployment) -> Preview:
        return self._preview(deployment)
