"""One target and the thread that sends to it: nobody else waits for it.

    cursor ──▶ rows behind it, as far as they are settled ──▶ notices ──▶ target
       ▲                                                                    │ taken, or refused for good and written down
       └────────────────────────────────────────────────────────────────────┘
                       not taken: the cursor stays, and the same rows come again after a while

Sources take turns, each with a cursor and a wait of its own. What is in memory is one batch.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import DatabaseError, InterfaceError, connection

from store import audit, forwarding, targets
from store.clock import database_now
from store.forwarding import Row, Wanted
from store.management.data_command import json_line
from store.models import ERROR_TEXT_LENGTH, DeadNotice, TargetCursor
from store.models import Target as TargetRow
from tasks.forward.news import News
from tasks.forward.registry import KindError, make
from tasks.forward.target import GoneError, Notice, RefusedError, Target, TryAgainError

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 200
"""Read in one question; a batch may take several."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 300.0
LONGEST_ASKED_SECONDS = 3_600.0
"""A subscriber may ask for so long a wait."""
REFUSED_TRIES = 3
"""By then it is no slip of the moment: some seconds have gone by."""
GONE_TRIES = 5
SKIPPED_SECONDS = 5.0
"""How often a cursor is written that moves over rows which nobody wants."""
LOOK_SECONDS = 5.0
"""How long a lane sleeps when nothing happens; it is woken by news."""


class Course:
    """One source of a target: how far it is, and how it goes."""

    def __init__(self, cursor: TargetCursor) -> None:
        self.cursor = cursor
        self.last_id = cursor.last_id
        self.failures = cursor.failures
        self.refusals = 0
        """In a row, of one notice by itself."""
        self.most: int | None = None
        """So many at once, while it is looked for the one that is refused."""
        self.due_at = 0.0
        """By the monotonic clock."""
        self.written_at = time.monotonic()


class Lane:
    """Sends to one target, until it is stopped."""

    def __init__(self, row: TargetRow, owner: str, news: News) -> None:
        self.row = row
        self._owner = owner
        self._news = news
        self._wanted = Wanted.of(row.wanted)
        self._target: Target | None = None
        self._is_open = False
        self._is_stopping = False
        self._courses: list[Course] = []
        self._thread = threading.Thread(target=self._run, name=row.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Have it end when what is under way has, which may take as long as a send."""
        self._is_stopping = True
        self._news.wake()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                version = self._news.version()
                self._begin()
                if not self._turn():
                    self._news.wait(version, self._pause())
            except (DatabaseError, InterfaceError) as error:
                cause = str(error).partition("\n")[0]
                log.error("nothing forwarded, the database does not answer", extra={"target": self.row.name, "cause": cause})
                connection.close()
                self._news.wait(self._news.version(), LOOK_SECONDS)
            except Exception:
                log.exception("a lane failed, it begins anew", extra={"target": self.row.name})
                self._courses.clear()
                self._news.wait(self._news.version(), LOOK_SECONDS)
        self._close()
        connection.close()

    def _begin(self) -> None:
        """Where the cursors are, when that is not known yet."""
        if self._courses:
            return
        now = database_now()
        for cursor in self.row.cursors.order_by("source"):
            course = Course(cursor)
            course.due_at = time.monotonic() + _seconds_until(cursor.next_try_at, now)
            self._news.settled(forwarding.model_of(cursor.source))
            self._courses.append(course)
        if not self._courses:
            self._is_stopping = True

    def _turn(self) -> bool:
        """Each source that is due once; whether there may be more to do at once."""
        is_more = False
        for course in self._courses:
            if not self._is_stopping and course.due_at <= time.monotonic():
                is_more |= self._send_some(course)
        return is_more

    def _pause(self) -> float:
        waits = [course.due_at - time.monotonic() for course in self._courses]
        return min([LOOK_SECONDS, *(wait for wait in waits if wait > 0)])

    def _send_some(self, course: Course) -> bool:
        settled = self._news.settled(forwarding.model_of(course.cursor.source))
        if settled <= course.last_id:
            return False
        rows, notices, end = self._batch(course, settled)
        if not rows:
            return self._skip(course, end) and end < settled
        try:
            self._send(notices)
        except RefusedError as error:
            return self._refused(course, rows, notices, error)
        except GoneError as error:
            return self._gone(course, str(error))
        except TryAgainError as error:
            return self._try_again(course, str(error), error.after_seconds)
        except Exception as error:
            log.exception("a target's code failed", extra={"target": self.row.name})
            return self._try_again(course, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return self._taken(course, end, len(notices))

    def _batch(self, course: Course, settled: int) -> tuple[list[Row], list[Notice], int]:
        """What is sent next, and up to which id there is nothing else then."""
        target = self._made()
        most, room = course.most or target.most_notices, target.most_bytes
        rows: list[Row] = []
        notices: list[Notice] = []
        end = course.last_id
        while len(rows) < most and end < settled:
            page = forwarding.page(course.cursor.source, self._wanted, end, settled, min(ROWS_AT_ONCE, most - len(rows)))
            for row in page.rows:
                notice = notice_of(course.cursor.source, row)
                room -= len(notice.body)
                if room < 0 and notices:
                    return rows, notices, rows[-1].row_id
                rows.append(row)
                notices.append(notice)
            end = page.end
            if not page.rows:
                break
        return rows, notices, end

    def _made(self) -> Target:
        """The target, not opened yet when it is new."""
        if self._target is None:
            try:
                self._target = make(self.row.kind, self.row.address, self.row.options)
            except KindError as error:
                self._target = Unusable(str(error))
            self._is_open = False
        return self._target

    def _send(self, notices: Sequence[Notice]) -> None:
        target = self._made()
        try:
            if not self._is_open:
                target.open()
                self._is_open = True
            target.send(notices)
        except (RefusedError, GoneError):
            raise
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        target, self._target = self._target, None
        if target is None:
            return
        try:
            target.close()
        except Exception:
            log.exception("a target's code failed", extra={"target": self.row.name})

    def _taken(self, course: Course, end: int, sent: int) -> bool:
        if course.failures:
            log.info("target takes notices again", extra=self._told(course) | {"failures": course.failures})
        if course.most is not None:
            course.most = None if course.most >= self._made().most_notices else 2 * course.most
        return self._move(course, end, sent)

    def _move(self, course: Course, end: int, sent: int, dead: Sequence[DeadNotice] = ()) -> bool:
        if not targets.moved(course.cursor, self._owner, end, sent, dead):
            self._is_stopping = True
            return False
        course.last_id, course.failures, course.refusals = end, 0, 0
        course.written_at = time.monotonic()
        return True

    def _skip(self, course: Course, end: int) -> bool:
        """Over rows that nobody wants. They may be looked at again after a kill, so that this is written now and then only."""
        course.last_id = end
        if time.monotonic() - course.written_at < SKIPPED_SECONDS:
            return True
        return self._move(course, end, 0)

    def _refused(self, course: Course, rows: Sequence[Row], notices: Sequence[Notice], error: RefusedError) -> bool:
        refused = [row for row, notice in zip(rows, notices, strict=True) if notice.id in error.ids]
        if not refused:
            return self._try_again(course, f"refused what was not sent: {error}")
        if len(refused) == len(rows) > 1:
            course.most = max(1, len(rows) // 2)
            return True
        course.refusals += 1
        if len(rows) == 1 and course.refusals < REFUSED_TRIES:
            return self._try_again(course, str(error))
        if self.row.dead.count() + len(refused) > targets.MOST_DEAD:
            full = f"{targets.MOST_DEAD} dead notices, which is the most: replay or discard them. The next: {error}"
            return self._try_again(course, full)
        dead = [self._dead(course, row, str(error)) for row in refused]
        for notice in dead:
            told = {"row": notice.row_id, "cause": notice.reason}
            log.warning("notice refused for good, kept as dead", extra=self._told(course) | told)
        return self._move(course, rows[-1].row_id, len(rows) - len(refused), dead)

    def _dead(self, course: Course, row: Row, reason: str) -> DeadNotice:
        return DeadNotice(
            target=self.row,
            source=course.cursor.source,
            row_id=row.row_id,
            reason=reason[:ERROR_TEXT_LENGTH],
            tries=course.refusals,
        )

    def _gone(self, course: Course, reason: str) -> bool:
        if course.failures + 1 < GONE_TRIES:
            return self._try_again(course, reason)
        log.error("target paused, it says that it is gone", extra=self._told(course) | {"cause": reason})
        targets.failed(course.cursor, self._owner, course.failures + 1, 0, reason)
        targets.pause(self.row.name, f"paused since it says that it is gone: {reason}", audit.Actor("iotgw forward"))
        self._is_stopping = True
        return False

    def _try_again(self, course: Course, reason: str, after_seconds: float = 0.0) -> bool:
        course.failures += 1
        wait = max(wait_seconds(course.failures), min(after_seconds, LONGEST_ASKED_SECONDS))
        course.due_at = time.monotonic() + wait
        # The first, the second, the fourth: a subscriber that stays away does not fill the log.
        if course.failures & (course.failures - 1) == 0:
            told = {"cause": reason, "failures": course.failures, "next_try_seconds": round(wait, 1)}
            log.warning("target does not take notices, will try again", extra=self._told(course) | told)
        if not targets.failed(course.cursor, self._owner, course.failures, wait, reason):
            self._is_stopping = True
        return False

    def _told(self, course: Course) -> dict[str, Any]:
        return {"target": self.row.name, "source": course.cursor.source}


class Unusable:
    """A target of which nothing can be made: its kind is not installed any more, or takes its options no longer."""

    most_notices = 1
    most_bytes = 1

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def open(self) -> None:
        raise TryAgainError(self._reason)

    def close(self) -> None:
        """It has nothing."""

    def send(self, notices: Sequence[Notice]) -> None:
        raise TryAgainError(self._reason)


def notice_of(source: str, row: Row) -> Notice:
    """What is told of a row."""
    device = row.device
    id = f"{source}-{row.row_id}"
    told = {"id": id, "source": source, "protocol": device.protocol, "identity": device.identity, "name": device.name, **row.told}
    return Notice(id, source, device.protocol, device.identity, str(row.told["kind"]), _json(told))


def _json(told: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(told)
    except TypeError:  # a number that is longer than 64 bits
        return json_line(told).encode()


def wait_seconds(failures: int) -> float:
    """Twice as long each time, and not the same for everybody who was cut off at once."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16))
    return longest * random.uniform(0.5, 1.0)


def _seconds_until(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (moment - now).total_seconds())
