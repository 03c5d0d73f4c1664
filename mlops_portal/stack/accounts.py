"""The operating system account that PostgreSQL runs under: it refuses to run as root.

Must not know what PostgreSQL is asked to do.
"""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

ACCOUNT = "pgserver"


def database_account(data: Path) -> pwd.struct_passwd | None:
    """The account for the cluster in `data`, created if need be; None when we are no root ourselves."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid)
    if shutil.which("useradd") and not exists(ACCOUNT):
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        subprocess.run(command, check=True, capture_output=True)
    return pwd.getpwnam(ACCOUNT if exists(ACCOUNT) else "nobody")


def exists(name: str) -> bool:
    """Whether the machine knows an account of this name."""
    return any(entry.pw_name == name for entry in pwd.getpwall())


def run_as(
    account: pwd.struct_passwd | None, command: list[str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `command` under `account`; output is captured, the exit code is the caller's to judge."""
    if account is None:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd="/")
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
    )


def open_the_way(path: Path) -> list[Path]:
    """Let other accounts pass through (not list) the folders above `path`; returns those changed."""
    changed = []
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            changed.append(folder)
    return changed


def open_tree(folder: Path) -> None:
    """Let other accounts read an installed package, whatever the umask of the installation was."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | 0o004 | (0o001 if mode & 0o100 else 0)
        if wanted != mode:
            path.chmod(wanted)
