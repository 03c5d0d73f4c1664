"""Manifests as text, in one way for everybody who shows or compares them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, and nothing is written as a reference to something above."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(manifests: Iterable[Mapping[str, Any]]) -> str:
    """YAML documents, keys in the order given; empty for none."""
    return "---\n".join(
        yaml.dump(dict(manifest), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
        for manifest in manifests
    )
