"""The ports around a deployment in memory: mirror, preflight, guard, connection. See `tests.fakes`."""

from dataclasses import dataclass, field

from releases.ports import Deployment, Finding, Preview, Problem, Protection, Refused, Unreachable


@dataclass
class FakeMirror:
    """Holds what was `put`; `instant`: everything is there at once, as on one machine."""

    reachable: bool = True
    instant: bool = True
    refuses: str = ""  # why nothing is taken
    held: set[str] = field(default_factory=set)

    def address(self, deployment: Deployment) -> str:
        return f"s3://models/{deployment.model}/{deployment.version}"

    def holds(self, deployment: Deployment) -> bool:
        self._connect()
        return self.instant or deployment.ref in self.held

    def put(self, deployment: Deployment) -> None:
        self._connect()
        if self.refuses:
            raise Refused(self.refuses)
        self.held.add(deployment.ref)

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the artifact store does not answer")


@dataclass
class FakePreflight:
    """Finds `problems` with every deployment; `before` is what is said to be there, `after` what would be
    (made of the deployment when it is empty)."""

    reachable: bool = True
    before: str = ""
    after: str = ""
    problems: tuple[Problem, ...] = ()

    def preview(self, deployment: Deployment) -> Preview:
        if not self.reachable:
            raise Unreachable("the target does not answer")
        after = f"name: {deployment.ref}\nversion: {deployment.version}\n"
        return Preview(self.before, self.after or after, self.problems)


@dataclass
class FakeGuard:
    """`in_effect` is what was applied last; change it to play somebody who meddles."""

    reachable: bool = True
    in_effect: dict[tuple[str, str], Protection] = field(default_factory=dict)
    weak: list[str] = field(default_factory=list)  # why it does not protect all the same

    def apply(self, wanted: Protection) -> None:
        self._connect()
        self.in_effect[wanted.tenant, wanted.environment] = wanted

    def drift(self, wanted: Protection) -> list[str]:
        self._connect()
        found = self.in_effect.get((wanted.tenant, wanted.environment))
        return [] if found == wanted else ["the policies are not as they should be"]

    def weaknesses(self, wanted: Protection) -> list[str]:
        self._connect()
        return self.weak

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the target does not answer")


@dataclass
class FakeConnection:
    """Finds what it is given."""

    findings: list[Finding] = field(default_factory=lambda: [Finding("target", True, "answers")])

    def examine(self) -> list[Finding]:
        return self.findings
