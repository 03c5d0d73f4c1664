"""How many replicas each endpoint shall have, and how what is in effect differs from that. Reads only.

Wanted is the model's own policy, else its environment's, else the portal's defaults; nothing where the target
does not scale.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from releases.domain.autoscaling import Autoscaling
from releases.domain.release import TargetState
from releases.models import AutoscalingPolicy, Endpoint, Environment
from releases.models.places import TargetKind
from releases.ports import TargetStatus

OFF_POLICY = "autoscaling is not as the policy says"


@dataclass(frozen=True, slots=True)
class Scaling:
    """(environment, model) -> policy; the model None is the environment's default."""

    policies: Mapping[tuple[int, int | None], Autoscaling] = field(default_factory=dict)

    def of(self, endpoint: Endpoint) -> Autoscaling | None:
        """What is wanted for a model in an environment; None where nothing scales."""
        if endpoint.environment.target != TargetKind.SELDON:
            return None
        own = self.policies.get((endpoint.environment_id, endpoint.model_id))
        return own or self.default(endpoint.environment)

    def default(self, environment: Environment) -> Autoscaling:
        """What a model gets that has no policy of its own."""
        return self.policies.get((environment.pk, None)) or Autoscaling()


def scaling(environments: Iterable[Environment]) -> Scaling:
    """The policies of these environments; one query, none where nothing scales."""
    known = {environment.pk for environment in environments if environment.target == TargetKind.SELDON}
    rows = AutoscalingPolicy.objects.filter(environment__in=known) if known else []
    return Scaling({(row.environment_id, row.model_id): row.value() for row in rows})


def difference(status: TargetStatus, wanted: Autoscaling | None) -> str:
    """A sentence when a running deployment does not scale as wanted; "" when it does, or is not running."""
    if wanted is None or status.state is not TargetState.READY or status.autoscaling == wanted:
        return ""
    found = status.autoscaling
    there = "there is none that the portal wrote" if found is None else f"in effect are {found.describe()}"
    return f"{OFF_POLICY}: {there}; it is set again"
