"""Where callers come in through Istio: what router, guard and pages have to agree about. Pure."""

from urllib.parse import urlsplit


def host_of(gateway_url: str) -> str:
    """The host of our own that requests name; without its port, which Istio ignores when it routes."""
    return urlsplit(gateway_url).hostname or ""


def gateway_of(istio_gateway: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of the Gateway object that a VirtualService in `namespace` means by this."""
    place, _, name = istio_gateway.rpartition("/")
    return (place if place not in ("", ".") else namespace), name
