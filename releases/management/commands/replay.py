"""`manage.py replay FILE [--plan PLAN.json] [--json] [--stream]`: recorded samples through the judge.

Needs no database and no running stack. Any verdict is a success; exit code 2 says that something given
cannot be read.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from releases.domain import replay
from releases.domain.errors import Invalid
from releases.domain.judge import MOST_BINS, MOST_BUCKETS
from releases.domain.judging_rules import judge_rules
from releases.domain.plan import RolloutPlan
from releases.domain.replay import BadRecording

UNREADABLE = 2


class Command(BaseCommand):
    """Replay a recording."""

    help = (
        "Run the judge over recorded samples (JSON Lines; - is the standard input) and tell how it decides. "
        f"At most {MOST_BUCKETS} latency buckets and {MOST_BINS} prediction bins can be judged."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """FILE, --plan, --json, --stream."""
        parser.add_argument(
            "file", metavar="FILE", help="a recording, one sample a line; - for standard input"
        )
        parser.add_argument("--plan", metavar="PLAN.json", help="any part of a plan; the defaults else")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--stream", action="store_true", help="print one JSON object after each sample")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, and print."""
        name, plan_name = options["file"], options["plan"]
        rules = judge_rules(RolloutPlan() if plan_name is None else _plan(plan_name))
        try:
            with _lines(name) as lines:
                recorded = replay.read_recording(lines)
                if options["stream"]:
                    for ending in replay.follow(rules, recorded):
                        self._write(json.dumps(replay.to_json(ending)))
                    return
                # All of it is read before anything is said: a broken recording proves nothing.
                (end,) = replay.replay([rules], [list(recorded)])
        except BadRecording as error:
            raise CommandError(f"{name}: {error}", returncode=UNREADABLE) from error
        assert end is not None  # noqa: S101 - a recording without samples was refused
        self._write(json.dumps(replay.to_json(end)) if options["json"] else replay.page(end))

    def _write(self, text: str) -> None:
        """At once, for whoever reads along; who stops reading has read enough."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            # What is left in the buffer must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(0) from None
            raise CommandError(f"the answer cannot be written: {error.strerror}") from error


def _plan(name: str) -> RolloutPlan:
    try:
        return RolloutPlan.from_json(json.loads(Path(name).read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}", returncode=UNREADABLE) from error
    except Invalid as error:
        said = "; ".join(f"{path}: {', '.join(why)}" for path, why in error.fields.items())
        raise CommandError(f"{name}: {said}", returncode=UNREADABLE) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not text in UTF-8", returncode=UNREADABLE) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{name} is not JSON: {error}", returncode=UNREADABLE) from error


@contextmanager
def _lines(name: str) -> Iterator[Iterable[str]]:
    """The lines of a file or of the standard input, as they come."""
    try:
        if name == "-":
            yield sys.stdin
            return
        with Path(name).open(encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}", returncode=UNREADABLE) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not text in UTF-8", returncode=UNREADABLE) from error
