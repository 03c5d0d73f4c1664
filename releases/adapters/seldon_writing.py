"""The SeldonDeployments of one environment: read, and changed without losing anybody else's change.

Several workers change the same object: the target adds and removes predictors, the router moves traffic. The
list of predictors has one owner as a whole, so every change is: read it all, compute it all, write it on the
condition that nobody has written meanwhile, or else begin again. Knows nothing of what is changed, or why.
"""

from collections.abc import Callable
from dataclasses import dataclass

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import SELDON_DEPLOYMENT, Cluster, Conflict
from releases.adapters.seldon_objects import Manifest
from releases.ports import Refused, Unreachable

ATTEMPTS = 6

# Gets what is there (`seldon_objects.ours` of it; None: nothing) and returns what shall be there, or None to
# leave it as it is.
Change = Callable[[Manifest | None], Manifest | None]


@dataclass(frozen=True, slots=True)
class SeldonDeployments:
    """Every call raises `Unreachable` or `Refused`."""

    cluster: Cluster
    namespace: str
    tenant: str
    environment: str

    def all(self) -> list[Manifest]:
        """Those that are ours, as they are."""
        return self.cluster.list(
            SELDON_DEPLOYMENT, self.namespace, seldon.selector(self.tenant, self.environment)
        )

    def get(self, model: str) -> Manifest | None:
        """That of an endpoint, as it is; `Refused` when somebody else's has its name."""
        name = seldon.seldon_deployment_name(model)
        found = self.cluster.get(SELDON_DEPLOYMENT, name, self.namespace)
        if found is not None and not seldon.is_of(found, self.tenant, self.environment):
            raise Refused(
                f"the SeldonDeployment {name} in the namespace {self.namespace} is not the portal's: its "
                f"labels do not say {seldon.selector(self.tenant, self.environment)}. It is left alone: "
                "rename or delete it, or release the model under another name"
            )
        return found

    def rewrite(self, model: str, change: Change) -> Manifest | None:
        """Bring the change about; returns the object as it is then. `change` may be called several times."""
        for _ in range(ATTEMPTS):
            found = self.get(model)
            if found is not None and found["metadata"].get("deletionTimestamp"):
                raise Unreachable(f"the SeldonDeployment {model} is being deleted: its name is not free yet")
            present = None if found is None else seldon.ours(found)
            wanted = change(present)
            if wanted is None or wanted == present:
                return found
            try:
                if found is None:
                    return self.cluster.create(SELDON_DEPLOYMENT, wanted, self.namespace)
                return self.cluster.apply(seldon.on_condition(wanted, found))
            except Conflict:
                continue
        raise Unreachable(
            f"the SeldonDeployment {model} in the namespace {self.namespace} was changed by somebody else "
            f"{ATTEMPTS} times while it was being written: is another tool fighting over it?"
        )

    def delete(self, found: Manifest) -> bool:
        """Delete it as it was read, and all that the operator made of it; False when it has changed since."""
        meta = found["metadata"]
        try:
            self.cluster.delete(SELDON_DEPLOYMENT, meta["name"], self.namespace, meta["resourceVersion"])
        except Conflict:
            return False
        return True
