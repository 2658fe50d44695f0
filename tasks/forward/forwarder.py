"""The process that forwards: which targets are its own, and a lane for each.

    every second: claim ──▶ database ──▶ targets that are ours ──▶ lanes: begun, begun anew when changed, ended when paused or lost

Several may run, on several hosts: each target is one's. What one that was killed had is another's, or its own again, when the claim
is over.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid

from django.db import DatabaseError, InterfaceError, connection

from store import targets
from store.models import OWNER_LENGTH
from store.models import Target as TargetRow
from tasks.forward.lane import Lane
from tasks.forward.news import News

log = logging.getLogger(__name__)

TURN_SECONDS = 1.0
END_SECONDS = 5.0
"""So long a send that is under way may go on when all is to end. What it was about comes again."""


class Forwarder:
    """Lanes for the targets that are ours, until it is stopped."""

    def __init__(self, owner: str = "") -> None:
        self.owner = owner or f"{socket.gethostname()[: OWNER_LENGTH - 13]}-{uuid.uuid4().hex[:12]}"
        self._stopping = threading.Event()
        self._news = News()
        self._lanes: dict[int, Lane] = {}
        self._is_away = False

    def stop(self) -> None:
        """May be called by a signal."""
        self._stopping.set()

    def run(self) -> bool:
        """Until it is stopped; whether everything has come to an end."""
        self._news.start()
        log.info("forwarding", extra={"owner": self.owner})
        while not self._stopping.is_set():
            try:
                self.turn()
                self._is_away = False
            except (DatabaseError, InterfaceError) as error:
                self._tell_away(error)
                connection.close()
            self._stopping.wait(TURN_SECONDS)
        return self._end()

    def turn(self) -> None:
        """Look whose the targets are, and begin and end lanes by that."""
        mine = {row.pk: row for row in targets.claim(self.owner)}
        for id, lane in list(self._lanes.items()):
            if id not in mine or mine[id].revision != lane.row.revision:
                lane.stop()
            if not lane.is_running:
                del self._lanes[id]
                if id not in mine:
                    targets.release(self.owner, [id])
        for id, row in mine.items():
            if id not in self._lanes:
                self._begin(row)

    def _begin(self, row: TargetRow) -> None:
        lane = self._lanes[row.pk] = Lane(row, self.owner, self._news)
        lane.start()
        log.info("forwarding to a target", extra={"target": row.name, "kind": row.kind})

    def _end(self) -> bool:
        for lane in self._lanes.values():
            lane.stop()
        self._news.stop()
        until = time.monotonic() + END_SECONDS
        for lane in self._lanes.values():
            lane.join(max(0.0, until - time.monotonic()))
        try:
            targets.release(self.owner, self._lanes)
        except (DatabaseError, InterfaceError):
            log.info("targets not released, their claims end by themselves")
        connection.close()
        left = [lane.row.name for lane in self._lanes.values() if lane.is_running]
        if left:
            log.warning("stopped while a target had not answered, it is sent the same again", extra={"targets": " ".join(left)})
        return not left

    def _tell_away(self, error: Exception) -> None:
        if not self._is_away:
            cause = str(error).partition("\n")[0]
            log.error("targets not looked at, the database does not answer", extra={"cause": cause})
        self._is_away = True
