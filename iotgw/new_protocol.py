"""Writing the folder that a new protocol begins with: it works as it is, and is installed like any package."""

from __future__ import annotations

import json
import keyword
import os
import re
import sys
from collections.abc import Collection
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

_NAME = re.compile("[a-z][a-z0-9_]{0,31}")
_SUFFIX = ".txt"
"""What the template's files have behind their names, so that no tool takes them for the house's own."""


class NewProtocolError(Exception):
    """The folder cannot be written. The text says why, and what to do."""


def write_package(name: str, folder: Path, taken: Collection[str]) -> list[Path]:
    """Write the folder of a protocol of this name; the files that are in it.

    Raises: NewProtocolError when the name is none or taken, or the folder is there already or cannot be made.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise NewProtocolError(f"{name!r} is no name: use up to 32 lower-case letters, digits and _, a letter first")
    if name in taken:
        raise NewProtocolError(f"there is a protocol {name!r} already: choose another name")
    if folder.exists():
        raise NewProtocolError(f"{folder} is there already: choose another with --folder, or remove it")
    found = find_spec(name)
    if found is not None and found.origin is not None:
        raise NewProtocolError(f"there is a Python module {name!r} already, which {name}.py would hide: choose another name")
    texts = {Path(_named(path, name)): _named(text, name) for path, text in _templates(files("iotgw") / "template")}
    try:
        folder.mkdir(parents=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, "utf-8")
    except OSError as error:
        raise NewProtocolError(f"{folder} cannot be written ({error.strerror}): choose another with --folder") from error
    return sorted(texts)


def next_steps(name: str, folder: Path) -> str:
    """What to do with the folder, as commands."""
    here = os.path.relpath(sys.executable)
    python = Path(sys.executable if here.startswith(os.pardir) else here)
    command = python.with_name("iotgw") if python.with_name("iotgw").exists() else f"{python} -m iotgw"
    capture = json.loads((folder / "captures" / f"{name}.jsonl").read_text("utf-8").splitlines()[0])
    return f"""\
{folder}/{name}.py is the protocol, working as it is. Make it known to iotgw, run its tests, and see what a frame says:

  {python} -m pip install --editable '{folder}[test]'
  {python} -m pytest {folder}
  {command} decode {name} --explain {capture["hex"]}

docs/your-own-protocol.md goes on from there."""


def _templates(folder: Traversable, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _templates(entry, f"{prefix}{entry.name}/")
        else:
            found.append((f"{prefix}{entry.name.removesuffix(_SUFFIX)}", entry.read_text("utf-8")))
    return found


def _named(text: str, name: str) -> str:
    """A template's text in which the protocol has its name, however that is written."""
    written = {
        "my_protocol": name,
        "MY_PROTOCOL": name.upper(),
        "my-protocol": name.replace("_", "-"),
        "My Protocol": name.replace("_", " ").title(),
    }
    return re.sub("|".join(written), lambda found: written[found.group()], text)
