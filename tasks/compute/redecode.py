"""Decoding again what is stored, by the definitions of today.

iotgw redecode ── a row ──▶ database          decode_some(row, step) ──▶ queue compute
worker ── decode_some ──▶ locks the row ──▶ some rows ──▶ decoded ──▶ written, counted ──▶ commit ──▶ decode_some(row, step + 1)
beat ── resume, every 15 s ────▶ those of which nothing was heard for 10 s: their next step once more
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, transaction

from protocols.message import Message
from protocols.protocol import DeviceProtocol
from protocols.report import Decoded, DecodeError
from protocols.versions import versions
from store import background, redecoding
from store.bulk import Incoming, redecoded
from store.bulk.redecoded import Again
from store.models import BackgroundState, Quarantine, Redecoding, Report
from store.redecoding import Taken
from store.rows import prepare
from tasks.background import ask, check_step
from tasks.celery import app, protocols, settings
from tasks.channels import known_channels
from tasks.compute.suspects import MOST_ENDED, Suspects
from tasks.contract import REDECODE_SWEEP_TASK, REDECODE_TASK
from tasks.database import database
from tasks.media import announce
from tasks.poison import LOST, TooLongError, time_limit, too_slow

log = logging.getLogger(__name__)

SOFT_TIME_LIMIT_SECONDS = 90
"""A step takes a second. What takes so long is a database that is locked."""
TIME_LIMIT_SECONDS = 120
STEP_SECONDS = 2.0
"""To decode a step's rows; SQLite's writers wait so long. Then they are decoded one by one."""
MESSAGE_SECONDS = 0.5
SEARCH_SECONDS = 5.0
"""So long they are decoded one by one; the rest is left to the next step."""
SWEEP_SECONDS = 15
SILENCE = timedelta(seconds=10)

_LIMITS: dict[str, Any] = {"soft_time_limit": SOFT_TIME_LIMIT_SECONDS, "time_limit": TIME_LIMIT_SECONDS}
_versions = versions()
_Row = TypeVar("_Row", Report, Quarantine)


@app.task(name=REDECODE_TASK, **_LIMITS)
def decode_some(id: int, step: int) -> None:
    """Take a redecoding one step on, and ask for the next.

    Idempotent: a step that is committed, or that another worker is at, is left alone. Bounded in memory and time by the rows, ids
    and bytes of a step. A payload that is none of ours is a dead letter. What is lost with the task is found by :func:`resume`.
    """
    check_step(id, step, "a redecoding")
    due_media: list[int] = []
    try:
        with database():
            is_open = _take_step(id, step, due_media)
    except (DatabaseError, InterfaceError, SoftTimeLimitExceeded) as error:
        known_channels.forget()
        log.error("redecoding put off, the database does not answer as it should", extra={"cause": type(error).__name__})
        return
    if due_media:
        announce(due_media)
    if is_open:
        send(id, step + 1)


@app.task(name=REDECODE_SWEEP_TASK, **_LIMITS)
def resume() -> None:
    """Ask for the next step of redecodings that nobody is at: their task was lost, or never sent.

    Idempotent: one that is asked for twice goes on once. Bounded by the protocols there are.
    """
    try:
        with database():
            left = background.left_alone(Redecoding, SILENCE, datetime.now(UTC))
    except (DatabaseError, InterfaceError) as error:
        log.error("redecodings not looked after, will try again", extra={"cause": type(error).__name__})
        return
    for id, step in left:
        send(id, step, expires=SWEEP_SECONDS)


def send(id: int, step: int, **options: Any) -> bool:
    """Have a worker take a step; whether the broker has it. If not, :func:`resume` finds it."""
    return ask(decode_some, id, step, "a redecoding", **options)


def _take_step(id: int, step: int, due_media: list[int]) -> bool:
    """Whether there is another one after it."""
    with transaction.atomic():
        row = redecoding.claim(id, step)
        if row is None:
            return False
        suspects = Suspects(id, step)
        suspects.begin()
        try:
            _work(row, suspects, due_media)
            row.steps += 1
            row.touched_at = datetime.now(UTC)
            if not row.is_open:
                row.ended_at = row.touched_at
            row.save()
        finally:
            # This worker lives.
            suspects.end()
    return row.is_open


def _work(row: Redecoding, suspects: Suspects, due_media: list[int]) -> None:
    protocol = protocols.get(row.protocol)
    if protocol is None or suspects.ended >= MOST_ENDED:
        row.state = BackgroundState.FAILED
        row.error = "decoding ended workers again and again" if protocol else f"this worker has no protocol {row.protocol}"
        log.error("redecoding failed: %s", row.error, extra={"redecoding": row.id})
        return
    row.state = BackgroundState.RUNNING
    decoder = _Decoder(protocol, suspects)
    if row.report_key < row.report_end:
        row.report_key = _reports(row, redecoding.reports_of(row), decoder)
    elif row.quarantine_key < row.quarantine_end:
        row.quarantine_key = _quarantine(row, redecoding.quarantine_of(row), decoder, due_media)
    if row.report_key >= row.report_end and row.quarantine_key >= row.quarantine_end:
        row.state = BackgroundState.DONE


def _reports(row: Redecoding, taken: Taken, decoder: _Decoder) -> int:
    """Up to which id it came."""
    decoded = decoder.decode(taken.rows, decoder.message_of_report)
    again: list[Again] = []
    for report, incoming in decoded:
        if incoming is None:
            row.kept += 1
            continue
        for one in incoming.decoded.reports:
            beside = {name: report.values[name] for name in decoder.protocol.told_beside_body if name in report.values}
            one.values = beside | one.values
        prepared = prepare(incoming)
        if prepared.quarantine is None and prepared.reports:
            again.append(Again(report, prepared.reports))
        else:
            row.failing += 1
    changed = redecoded.replace(again, known_channels, is_dry_run=row.is_dry_run)
    row.done += len(decoded)
    row.changed += changed.changed
    row.added += changed.added
    row.merged += changed.merged
    row.kept += changed.kept
    return _key(taken, decoded)


def _quarantine(row: Redecoding, taken: Taken, decoder: _Decoder, due_media: list[int]) -> int:
    """Up to which id it came."""
    decoded = decoder.decode(taken.rows, decoder.message_of_quarantine)
    again = [(message, incoming) for message, incoming in decoded if incoming is not None]
    if row.is_dry_run:
        mended = sum(incoming.decoded.error is None for _, incoming in again)
    else:
        mended = redecoded.mend(again, known_channels, due_media, settings.media_file_bytes)
    row.done += len(again)
    row.mended += mended
    row.failing += len(again) - mended
    return _key(taken, decoded)


def _key(taken: Taken, decoded: Sequence[tuple[_Row, Incoming | None]]) -> int:
    """The next step begins behind what there was time for."""
    return taken.key if len(decoded) == len(taken.rows) else decoded[-1][0].id


class _Decoder:
    """Decodes a step's rows, each as bounded as ingest does it."""

    def __init__(self, protocol: DeviceProtocol, suspects: Suspects) -> None:
        self.protocol = protocol
        self._suspects = suspects
        self._has_told = False

    def decode(self, rows: Sequence[_Row], message_of: Callable[[_Row], Message | None]) -> list[tuple[_Row, Incoming | None]]:
        """Rows with what comes of them; None of one whose bytes make no message. The first of them, if there is no time for all."""
        if not self._suspects.ended:
            try:
                with time_limit(STEP_SECONDS):
                    return [(row, self._decoded(row, message_of(row))) for row in rows]
            except TooLongError:
                log.error("a step of a redecoding takes too long to decode, its messages are tried one by one")
        decoded: list[tuple[_Row, Incoming | None]] = []
        until = time.monotonic() + SEARCH_SECONDS
        for row in rows:
            decoded.append((row, self._alone(row, message_of(row))))
            if time.monotonic() > until:
                break
        return decoded

    def message_of_report(self, row: Report) -> Message | None:
        if not redecoded.is_whole(row):
            return None
        part = Message(row.device.identity, 0, row.sequence, bytes(row.head), bytes(row.body))
        return self.protocol.whole_message(row.kind, part)

    def message_of_quarantine(self, row: Quarantine) -> Message:
        return Message(row.device.identity, row.kind_id, row.sequence, bytes(row.head), bytes(row.body))

    def _alone(self, row: _Row, message: Message | None) -> Incoming | None:
        if message is not None and row.id in self._suspects.culprits:
            return self._incoming(row, message, Decoded([], LOST))
        self._suspects.at(row.id)
        try:
            with time_limit(MESSAGE_SECONDS):
                return self._decoded(row, message)
        except TooLongError:
            return None if message is None else self._incoming(row, message, Decoded([], too_slow(MESSAGE_SECONDS)))

    def _decoded(self, row: _Row, message: Message | None) -> Incoming | None:
        if message is None:
            return None
        try:
            decoded = self.protocol.decode(message)
        except SoftTimeLimitExceeded:
            raise
        except Exception as fault:
            if not self._has_told:
                # Once a step, not a thousand times.
                self._has_told = True
                log.error("decoder failed", exc_info=fault, extra={"protocol": self.protocol.name, "kind": row.kind})
            decoded = Decoded([], DecodeError("decoder", "", f"{type(fault).__name__}: {fault}"))
        return self._incoming(row, message, decoded)

    def _incoming(self, row: _Row, message: Message, decoded: Decoded) -> Incoming:
        name = self.protocol.name
        return Incoming(name, message, row.received_at, row.kind, decoded, _versions.get(name, ""))
