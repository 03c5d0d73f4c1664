"""The guard of the local target: keys are part of the routes there, so nothing stands around them.

Knows nothing; the router ties the header to the key."""

from releases.ports import Protection


class LocalGuard:
    """Port `Guard`."""

    def apply(self, wanted: Protection) -> None:
        """Routes carry their keys themselves."""

    def drift(self, wanted: Protection) -> list[str]:
        return []

    def weaknesses(self, wanted: Protection) -> list[str]:
        return []
