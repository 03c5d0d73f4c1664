"""The commit that a release was made from, and whose repositories a tenant may tell of it.

Pure values; knows no code host beyond how it names repositories.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from releases.domain.errors import Invalid, refuse

OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
NAME = r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}"
_REPOSITORY = re.compile(rf"{OWNER}/{NAME}")
_PATTERN = re.compile(rf"{OWNER}/(?:\*|{NAME})")
_SHA = re.compile(r"[0-9a-f]{40}")
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
        if not _REPOSITORY.fullmatch(repository):
            problems["commit.repository"] = 'has to be "owner/name"'
        if not _SHA.fullmatch(sha := sha.lower()):
            problems["commit.sha"] = "has to be the 40 hexadecimal digits of a commit"
        refuse(problems)
        return cls(repository, sha)


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
