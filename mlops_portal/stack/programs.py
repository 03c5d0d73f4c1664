"""A supervised program as data, and the configuration that supervisord reads.

Must not know what the programs are for.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_portal.stack.layout import ENVIRONMENT_BIN, PROJECT, Layout


@dataclass(frozen=True)
class Program:
    """One process that is started, watched, restarted and stopped by supervisord."""

    name: str
    command: tuple[str, ...]
    account: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    whole_group: bool = False  # whether the stop signal goes to its children too


def with_launcher(name: str, command: Iterable[str]) -> tuple[str, ...]:
    """A program whose children could outlive it: they are ended before it starts again."""
    return (str(ENVIRONMENT_BIN / "python"), "-m", "mlops_portal.stack.launch", name, *command)


def escaped(text: str) -> str:
    """Supervisord expands `%(name)s` in its configuration."""
    return text.replace("%", "%%")


def program_section(program: Program, priority: int, log: Path) -> str:
    """The configuration section of one program."""
    settings = {
        "command": shlex.join(program.command),
        "directory": str(PROJECT),
        "priority": str(priority),
        # The stack starts the programs one by one; from then on supervisord keeps them alive.
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "1000000",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": "true" if program.whole_group else "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "2",
    }
    if program.account:
        settings["user"] = program.account
    lines = [f"{key}={escaped(value)}" for key, value in settings.items()]
    if program.environment:
        pairs = (f'{key}="{escaped(value)}"' for key, value in program.environment.items())
        lines.append("environment=" + ",".join(pairs))
    return "\n".join([f"[program:{program.name}]", *lines, ""])


def supervisor_configuration(layout: Layout, programs: Iterable[Program]) -> str:
    """The whole configuration of supervisord; model servers come by the include at run time."""
    owner = "user=root\n" if os.geteuid() == 0 else ""  # silences its warning about running as root
    header = f"""\
[unix_http_server]
file={escaped(str(layout.supervisor_socket))}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
nodaemon=true
{owner}directory={escaped(str(PROJECT))}
logfile={escaped(str(layout.log_of("supervisord")))}
logfile_maxbytes=20MB
logfile_backups=2
pidfile={escaped(str(layout.run / "supervisord.pid"))}
childlogdir={escaped(str(layout.log))}
minfds=4096

[include]
files={layout.model_programs.name}/*.conf
"""
    sections = (
        program_section(program, 10 * (position + 1), layout.log_of(program.name))
        for position, program in enumerate(programs)
    )
    return "\n".join([header, *sections])
