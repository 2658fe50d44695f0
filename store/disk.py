"""Files of ours on the disk: who may read them, and when they are there for certain."""

from __future__ import annotations

import os
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o640, 0o750


def sync(path: Path) -> None:
    """Have a file's bytes on the disk, or of a folder which files are in it: a name outlives a power cut only then."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
