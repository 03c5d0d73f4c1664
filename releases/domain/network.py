"""Who may talk to the models of a place, and whom they may talk to. Values only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """A NetworkPolicy in plain words: labels as `key=value`, ports of TCP."""

    models: str = "app=model-server"
    callers: str = "app=api-gateway"
    models_port: int = 8080
    registry: str = "app=mlflow-server"
    registry_port: int = 5000
    storage: str = "app=minio"
    storage_port: int = 9000
    dns: str = "k8s-app=kube-dns"


@dataclass(frozen=True, slots=True)
class Callers:
    """How callers prove which tenant they are.

    At the gateway by a JWT of `issuer` (its keys at `jwks_uri`) whose claim `claim` is the tenant; inside
    the cluster by the namespaces or the mTLS principals of their workloads. `audiences`: those that a token
    may be for; empty, any. `portal`: the request principal (`issuer/subject`) under which the portal itself
    asks, for its smoke tests. Without an issuer and without callers in the cluster the header is believed."""

    issuer: str = ""
    jwks_uri: str = ""
    claim: str = "tenant"
    audiences: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    portal: str = ""

    @property
    def is_tied(self) -> bool:
        """Whether anything ties the header to who is calling."""
        return bool(self.issuer or self.namespaces or self.principals)
