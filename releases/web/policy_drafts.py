"""The policy of an environment as it stands in a form. Understands how it is typed; what is right is for the
command to say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from releases.domain.errors import DomainError
from releases.models import Environment
from releases.web.rule_drafts import number_of

POLICY = ("approvals_required", "approval_ttl_seconds", "requires_success_in", "metric_tolerance")


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """Everything in the form, as typed. `tolerance` is in percent. `errors`: input name -> message."""

    name: str = ""
    position: str = "0"
    approvals_required: str = "0"
    approval_ttl_seconds: str = "86400"
    requires_success_in: str = ""
    tolerance: str = "2"
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, environment: Environment) -> "PolicyDraft":
        """The policy that is in force."""
        earlier = environment.requires_success_in
        return cls(
            name=environment.name,
            position=str(environment.position),
            approvals_required=str(environment.approvals_required),
            approval_ttl_seconds=str(environment.approval_ttl_seconds),
            requires_success_in="" if earlier is None else earlier.name,
            tolerance=f"{100 * environment.metric_tolerance:g}",
        )

    @classmethod
    def of_new(cls, known: Sequence[Environment]) -> "PolicyDraft":
        """An environment after all that there are."""
        return cls(position=str(max((one.position for one in known), default=-1) + 1))

    @classmethod
    def read(cls, data: QueryDict) -> "PolicyDraft":
        """What was typed."""
        names = [name for name in cls.__dataclass_fields__ if name != "errors"]
        given: dict[str, Any] = {name: data.get(name, "").replace("\x00", "").strip()[:60] for name in names}
        return cls(**given)

    @property
    def position_number(self) -> int:
        """The position, as far as it is one."""
        return int(self.position) if self.position.isdecimal() and len(self.position) < 5 else 0

    def changes(self, only: Iterable[str] = POLICY) -> dict[str, Any]:
        """As the command takes them. What is no number is passed on as it is: to be refused."""
        tolerance = number_of(self.tolerance)
        values = {
            "approvals_required": number_of(self.approvals_required),
            "approval_ttl_seconds": number_of(self.approval_ttl_seconds),
            "requires_success_in": self.requires_success_in or None,
            "metric_tolerance": tolerance / 100 if isinstance(tolerance, int | float) else tolerance,
        }
        return {name: values[name] for name in only}

    def refused(self, error: DomainError) -> "PolicyDraft":
        """The draft with messages at its inputs."""
        places = {"metric_tolerance": "tolerance"}
        names = {name for name in self.__dataclass_fields__ if name != "errors"}
        said = {places.get(path, path): messages[0] for path, messages in error.fields.items()}
        if "tolerance" in said:
            said["tolerance"] = "has to be from 0 to 100 %"
        return replace(self, errors={name: text for name, text in said.items() if name in names})
