"""The commit that a release was made from, and whose repositories a tenant may tell of it.

Pure values; knows no code host beyond how it names repositories.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from releases.domain.errors import Invalid, refuse

OWNER = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}"
REPOSITORY_PATTERN, SHA_PATTERN = f"{OWNER}/{NAME}", "[0-9A-Fa-f]{40}"
NO_REPOSITORY, NO_SHA = 'has to be "owner/name"', "has to be the 40 hexadecimal digits of a commit"
_PATTERN = re.compile(rf"{OWNER}/(?:\*|{NAME})")
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Commit:
    """`repository` is owner/name, `sha` the 40 hexadecimal digits."""

    repository: str
    sha: str

    @classmethod
    def parse(cls, repository: str, sha: str) -> "Commit":
        """Raises `Invalid`, naming `commit.repository` and `commit.sha`."""
        problems = {}
        if not re.fullmatch(REPOSITORY_PATTERN, repository):
            problems["commit.repository"] = NO_REPOSITORY
        if not re.fullmatch(SHA_PATTERN, sha):
            problems["commit.sha"] = NO_SHA
        refuse(problems)
        return cls(repository, sha.lower())


@dataclass(frozen=True, slots=True)
class Allowances:
    """Which repositories each tenant may set statuses in, as "owner/name" or "owner/*", in lower case."""

    patterns: Mapping[str, frozenset[str]]

    @classmethod
    def parse(cls, text: str) -> "Allowances":
        """Of "acme=acme/*,shared/models;globex=globex/models"; raises `Invalid`, naming what is wrong."""
        patterns: dict[str, frozenset[str]] = {}
        for entry in filter(None, (part.strip() for part in text.split(";"))):
            tenant, _, listed = entry.partition("=")
            names = [name.strip() for name in listed.split(",")]
            if not _TENANT.fullmatch(tenant := tenant.strip()) or tenant in patterns:
                raise Invalid(f"{tenant[:60]!r} is no tenant's name, or named twice")
            for name in names:
                if not _PATTERN.fullmatch(name):
                    raise Invalid(f"{name[:120]!r} is neither owner/name nor owner/*")
            patterns[tenant] = frozenset(name.lower() for name in names)
        return cls(patterns)

    def allow(self, tenant: str, repository: str) -> bool:
        """Whether the tenant may; code hosts do not tell capitals from small letters in names."""
        name = repository.lower()
        return not self.patterns.get(tenant, frozenset()).isdisjoint({name, f"{name.partition('/')[0]}/*"})
