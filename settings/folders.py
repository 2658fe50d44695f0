"""Whether a folder has room and may be written to."""

from __future__ import annotations

import errno
import os
import pwd
import tempfile
from pathlib import Path

from settings.findings import Verdict, fault, ok, size, warning

PROBE_BYTES = 1 << 16
LEAST_FREE_BYTES = 1 << 30
LEAST_FREE_INODES = 0.05


def room(folder: Path, least_bytes: int, do: str) -> Verdict:
    """Of a folder, or where it is to be made: what to ``do`` when it has less than so many bytes free. Nothing stays in it."""
    # What may not be looked at counts as not there.
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
    where = str(folder.absolute()) if there == folder.absolute() else f"{folder.absolute()}, to be made in {there}"
    try:
        _write(there)
        disk = os.statvfs(there)
    except OSError as error:
        return fault(f"{where} cannot be written to: {error.strerror}", _remedy(error))
    free = disk.f_bavail * disk.f_frsize
    # Some file systems make inodes as they go and count none.
    inodes = disk.f_favail / disk.f_files if disk.f_files else 1.0
    found = f"{where}: {size(free)} and {inodes:.0%} of inodes free, writable by user {_user()}"
    if free < least_bytes:
        return warning(f"{found}; {size(least_bytes)} are wanted", do)
    if inodes < LEAST_FREE_INODES:
        return warning(found, "remove small files from this disk, or make its file system anew with more inodes")
    return ok(found)


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on the disk"
    return f"have user {_user()} make files there, or set another folder"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user may have no name
        return str(os.geteuid())
