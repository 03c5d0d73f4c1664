"""The connection of a local environment: each engine is asked once."""

from collections.abc import Callable, Mapping

from releases.ports import AdapterError, Finding


class EngineConnection:
    """Port `Connection`; `asks`: the engine's name and a call that raises when it does not answer."""

    def __init__(self, asks: Mapping[str, Callable[[], object]]) -> None:
        self._asks = asks

    def examine(self) -> list[Finding]:
        return [self._finding(name, ask) for name, ask in self._asks.items()]

    def _finding(self, name: str, ask: Callable[[], object]) -> Finding:
        try:
            ask()
        except AdapterError as error:
            return Finding(name, False, str(error))
        return Finding(name, True, "answers")
