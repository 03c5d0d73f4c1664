"""Who may talk to the models of a place, whom they may talk to, and how callers prove who they are.

Values that are valid from their construction on. Pure; what becomes of them in a cluster is in `manifests`.
"""

import re
from dataclasses import dataclass

from releases.domain.errors import refuse
from releases.domain.kubernetes_syntax import labels_problem, name_problem, url_problem

_CLAIM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,59}")
_PRINCIPAL = re.compile(r"[a-z0-9][a-z0-9.-]*/ns/[a-z0-9][a-z0-9-]*/sa/[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """A NetworkPolicy in plain words: labels as `key=value` (several: separated by commas), ports of TCP.
    Raises `Invalid` naming the fields."""

    models: str = "app=model-server"
    callers: str = "app=api-gateway"
    models_port: int = 8080
    registry: str = "app=mlflow-server"
    registry_port: int = 5000
    storage: str = "app=minio"
    storage_port: int = 9000
    dns: str = "k8s-app=kube-dns"

    def __post_init__(self) -> None:
        found: dict[str, str] = {}
        for name in ("models", "callers", "registry", "storage", "dns"):
            if wrong := labels_problem(getattr(self, name)):
                found[name] = wrong
        for name in ("models_port", "registry_port", "storage_port"):
            if not 1 <= getattr(self, name) <= 65_535:
                found[name] = f"has to be from 1 to 65535, not {getattr(self, name)}"
        refuse(found)


@dataclass(frozen=True, slots=True)
class Callers:
    """How callers prove which tenant they are.

    At the gateway by a JWT of `issuer` (its keys at `jwks_uri`) whose claim `claim` is the tenant; inside
    the cluster by the namespaces or the mTLS principals of their workloads. `audiences`: those that a token
    may be for; empty, any. `portal`: the request principal (`issuer/subject`) under which the portal itself
    asks, for its smoke tests. Without an issuer and without callers in the cluster the header is believed.
    Raises `Invalid` naming the fields."""

    issuer: str = ""
    jwks_uri: str = ""
    claim: str = "tenant"
    audiences: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    portal: str = ""

    def __post_init__(self) -> None:
        refuse(_problems(self))

    @property
    def is_tied(self) -> bool:
        """Whether anything ties the header to who is calling."""
        return bool(self.issuer or self.namespaces or self.principals)


def _problems(callers: Callers) -> dict[str, str]:
    """Field -> what is wrong with its value."""
    found: dict[str, str] = {}
    for name in ("issuer", "jwks_uri"):
        text = getattr(callers, name)
        if text and (wrong := url_problem(text, ("https",))):
            found[name] = wrong
    if callers.issuer and not callers.jwks_uri:
        found["jwks_uri"] = "has to say where the issuer's keys are"
    if callers.jwks_uri and not callers.issuer:
        found["issuer"] = "has to say whose keys these are"
    if not _CLAIM.fullmatch(callers.claim):
        found["claim"] = "the name of a claim: letters, digits, '_', '.', ':', '/' and '-', at most 60"
    for text in callers.audiences:
        if not text.isascii() or not text.isprintable() or not text or set(text) & set(' "*,'):
            found["audiences"] = f"{text[:60]!r} is no audience: one a line, without spaces, commas and *"
    for text in callers.namespaces:
        if wrong := name_problem(text):
            found["namespaces"] = f"{text[:60]!r} is no namespace: {wrong}"
    for text in callers.principals:
        if not _PRINCIPAL.fullmatch(text):
            found["principals"] = (
                f"{text[:60]!r} is no principal: one a line, as in cluster.local/ns/shop/sa/checkout"
            )
    if callers.portal:
        subject = callers.portal.removeprefix(f"{callers.issuer}/")
        if not callers.issuer or subject == callers.portal or not subject or set(subject) & set(" *"):
            found["portal"] = "the issuer, a slash and the subject of the portal's token"
    return found
