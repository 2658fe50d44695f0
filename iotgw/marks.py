"""Who has something waiting, as Redis knows it: a set of devices for files, and one for commands.

reactor                 thread                              Redis
  ── look(devices) ──────▶ SMISMEMBER of both, together ─────▶ iotgw:files, iotgw:commands
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from iotgw.redisthread import RedisThread
from tasks.contract import COMMANDS_WAITING, FILES_WAITING, route_field

Device = tuple[str, str]
"""Protocol and identity."""


class Marked(NamedTuple):
    """What may wait for a device."""

    files: bool
    commands: bool


class Marks(Protocol):
    """Who knows. It fails when there is no answer."""

    def look(self, devices: Sequence[Device]) -> Deferred[list[Marked]]:
        """Of each, whether something may wait for it."""


class RedisMarks(RedisThread):
    """Asks Redis, once for many devices."""

    def look(self, devices: Sequence[Device]) -> Deferred[list[Marked]]:
        fields = [route_field(*device) for device in devices]
        return self.put(lambda: self._look(fields))

    def _look(self, fields: list[str]) -> list[Marked]:
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.smismember(FILES_WAITING, fields)
            pipeline.smismember(COMMANDS_WAITING, fields)
            files, commands = pipeline.execute()
        return [Marked(bool(has_files), bool(has_commands)) for has_files, has_commands in zip(files, commands, strict=True)]
