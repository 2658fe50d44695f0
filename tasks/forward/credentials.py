"""Secrets of targets: in a file or an environment variable of the process that sends, never in the database.

They are read whenever they are needed, so that a new one is taken without a restart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from tasks.forward.target import TryAgainError

LONGEST_BYTES = 65_536


def _absolute(path: Path) -> Path:
    """Whoever sends has another working folder than whoever sets the option."""
    if not path.is_absolute():
        raise ValueError(f"give the whole path, from / on, and not {path}")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


def secret_lines(file: Path | None, variable: str | None) -> list[str]:
    """Secrets, one on each line.

    Raises: TryAgainError if there are none to be had.
    """
    if file is not None:
        try:
            with file.open(encoding="utf-8") as opened:
                text = opened.read(LONGEST_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise TryAgainError(f"{file} cannot be read ({getattr(error, 'strerror', 'no text')})") from error
        where = str(file)
    elif variable is not None:
        text, where = os.environ.get(variable, ""), f"environment variable {variable}"
    else:
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise TryAgainError(f"{where} holds no secret")
    return lines
