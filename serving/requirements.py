"""What a composed model has to have installed: what its members need, and what this package needs.

Two members that pin one package differently cannot live in one process. Knows lines of pip.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from serving.errors import Problem

OWN = ("mlflow", "pandas", "numpy", "jsonschema", "prometheus-client")
FILE = "requirements.txt"


def needed(members: Mapping[str, Path]) -> list[str]:
    """The lines for pip, for the folders of the members by name; raises `Problem` on a contradiction."""
    lines: dict[str, tuple[str, str]] = {}
    for name, folder in members.items():
        file = folder / FILE
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
            _add(lines, name, line.strip())
    for package in OWN:
        lines.setdefault(canonicalize_name(package), ("", f"{package}=={version(package)}"))
    return [line for _, line in lines.values()]


def _add(lines: dict[str, tuple[str, str]], member: str, line: str) -> None:
    if not line or line.startswith("#"):
        return
    try:
        key: str = canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        key = line  # an option of pip, or an address
    owner, known = lines.setdefault(key, (member, line))
    if known == line:
        return
    pinned = {text for text in (known, line) if "==" in text}
    if len(pinned) == 2:
        words = f"it needs {line}, and {owner} needs {known}: one process has only one of them"
        raise Problem(("core", "members", member), words)
    if line in pinned:  # an exact version stands for a range; pip would refuse it if it lay outside
        lines[key] = (member, line)
