"""What Kubernetes accepts as a name, a label, a quantity or an address; and the sentence when it does not.

Each check returns what is wrong as the end of a sentence about the field, or "" when nothing is. Pure; knows
the syntax only, not whether the thing exists.
"""

import ipaddress
import re
from decimal import Decimal
from urllib.parse import urlsplit

LONGEST_LABEL = 63
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*(@sha256:[0-9a-f]{64})?", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY = re.compile(r"[A-Za-z0-9!_.*'()/-]*")  # of an object in S3: what needs no encoding anywhere
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{sign: Decimal(1000) ** power for power, sign in enumerate("kMGTP", 1)},
    **{f"{sign}i": Decimal(1024) ** power for power, sign in enumerate("KMGTP", 1)},
}


def name_problem(text: str) -> str:
    """Of a name that has to be a DNS label, as a namespace's or a secret's."""
    if _DNS_LABEL.fullmatch(text):
        return ""
    return "lower-case letters, digits and hyphens, at most 63, no hyphen at the ends"


def label_value_problem(text: str) -> str:
    """Of a label's value."""
    if _LABEL_VALUE.fullmatch(text):
        return ""
    return "letters, digits, '-', '_' and '.', at most 63, beginning and ending with a letter or a digit"


def labels(text: str) -> dict[str, str]:
    """ "app=model-server,tier=gold" as labels; of correct text only."""
    return dict(part.strip().split("=", 1) for part in text.split(","))


def labels_problem(text: str) -> str:
    """Of a selector: labels that have all to be there, "key=value", separated by commas."""
    keys = []
    for part in text.split(","):
        key, sign, value = part.strip().partition("=")
        if not sign or not key or not value:
            return "labels as key=value, separated by commas, as in app=model-server"
        prefix, slash, name = key.rpartition("/")
        if label_value_problem(name) or (slash and host_problem(prefix)):
            return f"{key[:80]!r} is no key of a label"
        if wrong := label_value_problem(value):
            return f"the value of {key} has {wrong}"
        keys.append(key)
    return "the same key twice" if len(set(keys)) < len(keys) else ""


def quantity(text: str) -> Decimal | None:
    """ "500m" -> 0.5, "2Gi" -> 2147483648; None when it is no quantity."""
    found = _QUANTITY.fullmatch(text)
    return Decimal(found[1]) * _FACTORS[found[2] or ""] if found else None


def quantity_problem(text: str, smallest: Decimal, example: str) -> str:
    """Of an amount of CPU or memory of at least `smallest`."""
    amount = quantity(text)
    if amount is None:
        return f"an amount as Kubernetes writes it, as in {example}"
    return f"too little: at least {smallest.normalize():f}" if amount < smallest else ""


def host_problem(text: str) -> str:
    """Of a host's name; an IP address is one too."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        fits = len(text) <= 253 and all(_DNS_LABEL.fullmatch(part) for part in text.split("."))
        return "" if fits else "a host's name, as in models.example.com"
    return ""


def url_problem(text: str, schemes: tuple[str, ...], *, with_path: bool = True) -> str:
    """Of an address that the portal or the mesh calls; without credentials in it, as it is shown."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in " \"'<>\\`{}|^"):
        return f"an address that begins with {wanted}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return f"an address that begins with {wanted}"
    if parts.scheme not in schemes or not parts.hostname:
        return f"an address that begins with {wanted}"
    if parts.username is not None or parts.password is not None:
        return "no user and no password in an address: it is shown to everybody here"
    if port == 0:
        return "the port is wrong"
    if parts.query or parts.fragment or (parts.path.strip("/") and not with_path):
        return "only the host and its port, without a path" if not with_path else "without ? and #"
    return host_problem(parts.hostname)


def s3_problem(text: str) -> str:
    """Of a place in S3, "s3://bucket/prefix"."""
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        return "a place in S3, as in s3://models/production"
    if not _KEY.fullmatch(prefix) or "//" in prefix or ".." in prefix.split("/"):
        return "the prefix may have letters, digits and !_.*'()/- only"
    return ""


def image_problem(text: str) -> str:
    """Of a container's image."""
    name = text.partition("@")[0]
    if not _IMAGE.fullmatch(text) or "//" in name or name.endswith(("/", ":", "-", ".")):
        return "a container's image, as in seldonio/mlserver:1.7.1-mlflow"
    return ""
