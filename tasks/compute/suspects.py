"""Finding what ends the worker that decodes it again, so that a redecoding does not end one worker after another.

A step notes in Redis that it begins, and takes that back when it is over. Whoever has the row of the redecoding locked and finds
the same step begun knows that a worker has ended with it. Then what is decoded is noted one by one, and where a worker ended is
not decoded any more.

A batch has other notes (:mod:`tasks.poison`): nothing is locked while it is decoded, so that its copies may be under way at several
workers, each of which may be alive.
"""

from __future__ import annotations

import logging
from typing import Any

from redis import RedisError

from tasks.connection import redis

log = logging.getLogger(__name__)

NOTES_SECONDS = 86_400
MOST_ENDED = 20
"""Workers that may end with one step. Then the redecoding has failed."""
_CULPRIT = "culprit:"


class Suspects:
    """What is noted of a redecoding's step. While Redis is away nothing is, and nothing fails."""

    def __init__(self, redecoding: int, step: int) -> None:
        self._key = f"iotgw:redecoding:{redecoding}"
        self._step = str(step)
        self._is_away = False
        self.ended = 0
        """Workers that ended with it."""
        self.culprits: set[int] = set()
        """Ids of rows that a worker ended at."""

    def begin(self) -> None:
        noted = {key.decode(): value.decode() for key, value in (self._run("hgetall") or {}).items()}
        if noted.get("step") == self._step:
            self.ended = int(noted.get("ended", 0)) + 1
            self.culprits = {int(name.removeprefix(_CULPRIT)) for name in noted if name.startswith(_CULPRIT)}
            if "at" in noted:
                self.culprits.add(int(noted["at"]))
            log.error("workers ended with this step of a redecoding", extra={"workers": self.ended, "rows": sorted(self.culprits)})
        self.end()
        fields = {"step": self._step, "ended": self.ended, **{f"{_CULPRIT}{id}": 1 for id in self.culprits}}
        self._run("hset", mapping=fields)
        self._run("expire", NOTES_SECONDS)

    def at(self, id: int) -> None:
        self._run("hset", "at", id)

    def end(self) -> None:
        self._run("delete")

    def _run(self, command: str, *arguments: Any, **named: Any) -> Any:
        if self._is_away:
            return None
        try:
            return getattr(redis(), command)(self._key, *arguments, **named)
        except RedisError as error:
            self._is_away = True
            log.warning("nothing noted of a redecoding", extra={"cause": type(error).__name__})
            return None
