"""Commands that need the database: they are the store's, run as Django commands in this process's place.

The gateway's code never imports the store; a host that runs gateways only has no database driver and does without
these commands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "store.settings"}


def command_line(name: str, arguments: Sequence[str] = ()) -> list[str]:
    """What runs one of the store's commands, with :data:`ENVIRONMENT` set."""
    return [sys.executable, "-m", "django", name, *arguments]


def replace_process(name: str, arguments: Sequence[str]) -> NoReturn:
    """Become the store's command: its output, its exit status."""
    line = command_line(name, arguments)
    os.execve(line[0], line, {**os.environ, **ENVIRONMENT})
