"""What tells a protocol's definition from an earlier or a later one, so that what one could not read is tried by another."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as release_of
from importlib.util import find_spec
from pathlib import Path

from protocols.registry import PROTOCOLS, loaded

_OURS = Path(__file__).parent
_DIGEST_SIZE = 6


def versions() -> dict[str, str]:
    """By name, as ``0.1.0+5f0c9d31a2b4``: the release of the package that the protocol is from, and a digest of its code.

    The digest is of all source that a body's meaning may depend on, the protocol's own and what protocols share, for a
    release does not change while a protocol is being mended. A comment that changes makes a new version too: that costs
    one more try, where a version that missed a change would cost the message.
    """
    shared = [path for path in _sources(_OURS) if path.relative_to(_OURS).parts[0] not in PROTOCOLS]
    found = {name: _version("iotgw", [*shared, *_sources(_OURS / name)]) for name in PROTOCOLS}
    for entry, protocol in loaded():
        own = [path for folder in _folders(entry.module.partition(".")[0]) for path in _sources(folder)]
        found[protocol.name] = _version(entry.dist.name if entry.dist else "", [*shared, *own])
    return found


def _version(package: str, sources: list[Path]) -> str:
    digest = blake2b(digest_size=_DIGEST_SIZE)
    for path in sources:
        code = path.read_bytes()
        digest.update(f"{path.name} {len(code)}\n".encode() + code)
    return f"{_release(package)}+{digest.hexdigest()}"


def _release(package: str) -> str:
    try:
        return release_of(package)
    except (PackageNotFoundError, ValueError):
        return "0"  # run from a folder that is not installed


def _folders(module: str) -> list[Path]:
    """Where a module's code is: a package's folders, or its one file."""
    spec = find_spec(module)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []


def _sources(place: Path) -> Iterator[Path]:
    return iter(sorted(place.rglob("*.py"))) if place.is_dir() else iter([place])
