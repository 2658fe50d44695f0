"""Files of the platform on their way down to devices.

    session begins ── wondering ──▶ those for whom something may wait
    mailbox: look again ──────────────┐      │
                                      ▼      ▼
    codec ◀── offer ─────────────── a task: which file?
    codec ── wanted (offset, length) ──▶ slices ── bytes ──▶ codec ──▶ device
    how far each is, every 10 s ───────▶ a task for all

What becomes of a file a worker learns with the report in which the device says so, so nothing is lost with a gateway but
the last seconds of progress.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import structlog
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.depot import Depot
from iotgw.marks import Device
from iotgw.seldom import Seldom
from iotgw.sessions import Session, Sessions
from iotgw.slices import Slices
from iotgw.statistics import Statistics
from iotgw.wondering import take_some
from protocols import Wanted
from tasks.contract import MOST_OFFERS, DeliveryNote, FilesWaiting, Shelved

if TYPE_CHECKING:
    from iotgw.link import Link

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
NOTE_SECONDS = 10.0
SOON_SECONDS = 0.1
OFFER_SECONDS = 600.0
"""An offer ends when nothing is asked for in so long."""
SILENT_SECONDS = 30.0
"""A device that has asked for nothing in so long is offered its file again, if there is word of it."""
MOST_WANTED = 64
"""Of one link, before it has them: what comes above is asked for again by who needs it."""


@dataclass(slots=True, eq=False)
class Download:
    """A file that goes down on a session's link."""

    session: Session
    file: Shelved
    touched_at: float
    sent: int
    wanted: int = 0
    """How many of its wants have no bytes yet."""


class Downloads:
    """Offers what waits, and has each device get what was offered to it and nothing else."""

    def __init__(self, sessions: Sessions, clock: IReactorTime, statistics: Statistics, cache_bytes: int) -> None:
        self._sessions = sessions
        self._clock = clock
        self._statistics = statistics
        self._cache_bytes = cache_bytes
        self._depot: Depot | None = None
        self._slices: Slices | None = None
        self._by_device: dict[Device, Download] = {}
        self._marked: dict[Device, None] = {}
        self._look_timer: IDelayedCall | None = None
        self._notes: dict[int, DeliveryNote] = {}
        self._note_timer: IDelayedCall | None = None
        self._seldom = Seldom(clock.seconds)

    def fetch_from(self, depot: Depot) -> None:
        """Have somebody who has the files."""
        self._depot = depot
        self._slices = Slices(self._cache_bytes, depot.read_slice)

    def __len__(self) -> int:
        return len(self._by_device)

    @property
    def held_bytes(self) -> int:
        """Of files, for whoever asks for the same."""
        return 0 if self._slices is None else self._slices.held_bytes

    def wait_for(self, devices: Sequence[Device]) -> None:
        """Something may wait for devices that are here; whose links carry no files, a worker fails theirs by itself."""
        able = [device for device in devices if (session := self._sessions.get(*device)) and session.link.carries_files]
        if self._depot is not None and able:
            self._marked.update(dict.fromkeys(able))
            self._hasten(0)

    def ended(self, session: Session) -> None:
        """A device has left. How far it is, is written down with the next note."""
        if self._by_device:
            self._by_device.pop((session.protocol, session.identity), None)

    def look_again(self, told: FilesWaiting) -> None:
        """Something has changed in what a device is to get."""
        if self._depot is not None and self._sessions.get(*told) is not None:
            self._marked[told] = None
            self._hasten(0)

    def wanted(self, link: Link, wanted: Wanted) -> None:
        """A device asks for bytes, or its codec does to send them."""
        download = self._by_device.get((link.protocol.name, wanted.identity))
        now = self._clock.seconds()
        if download is None or download.session.link is not link or download.file.offer.file != wanted.file:
            self._refuse(link, wanted, "not_offered")
        elif now - download.touched_at > OFFER_SECONDS:
            self._refuse(link, wanted, "too_late")
        elif not wanted.offset < download.file.offer.size:
            self._refuse(link, wanted, "range")
        elif download.wanted >= MOST_WANTED:
            self._statistics.count("downloads.refused.crowded")
        elif self._slices is not None:
            download.touched_at = now
            download.wanted += 1
            # It goes on from there, so it has what is before.
            self._advance(download, wanted.offset)
            length = min(wanted.length, download.file.offer.size - wanted.offset)
            came = self._slices.read(download.file.sha256, wanted.offset, length)
            came.addCallbacks(self._came, self._did_not_come, callbackArgs=(download, wanted), errbackArgs=(download,))

    def stop(self) -> None:
        for timer in (self._look_timer, self._note_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._depot = None

    def _hasten(self, seconds: float) -> None:
        if self._look_timer is None or not self._look_timer.active():
            self._look_timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        if self._depot is None:
            return
        marked = take_some(self._marked, MOST_OFFERS)
        if marked:
            self._depot.next_offers(marked).addCallback(self._told, marked).addErrback(self._not_answered, marked)
        if self._marked:
            self._hasten(0)

    def _told(self, files: Sequence[Shelved | None], devices: Sequence[Device]) -> None:
        for device, file in zip(devices, files, strict=True):
            self._begin(device, file)

    def _not_answered(self, failure: Failure, devices: Sequence[Device]) -> None:
        """Ask again for those that are still here."""
        self._statistics.count("downloads.not_answered")
        self._say("no answer what files wait, will ask again", failure)
        if self._depot is not None:
            self._marked.update(dict.fromkeys(device for device in devices if self._sessions.get(*device) is not None))
            self._hasten(RETRY_SECONDS)

    def _begin(self, device: Device, file: Shelved | None) -> None:
        session, held = self._sessions.get(*device), self._by_device.get(device)
        now = self._clock.seconds()
        if file is None or session is None:
            if self._by_device.pop(device, None) is not None and session is not None:
                session.link.withdraw(session.identity)
            return
        is_same = held is not None and held.session is session and held.file.offer.delivery == file.offer.delivery
        is_awaited = file.offer.is_awaited
        if held is not None and is_same and (is_awaited or now - held.touched_at <= SILENT_SECONDS):
            return
        self._by_device[device] = Download(session, file, now, file.offer.sent)
        if not is_awaited:
            self._statistics.count("downloads.offered")
            log.debug("file offered", protocol=device[0], device=device[1], file=file.offer.file, sent=file.offer.sent)
        fault = session.link.offer(session.head, file.offer)
        if fault:
            self._note(file.offer.delivery, fault=fault)
            self._by_device.pop(device, None)

    def _came(self, data: bytes | None, download: Download, wanted: Wanted) -> None:
        download.wanted -= 1
        session, offer = download.session, download.file.offer
        if self._by_device.get((session.protocol, session.identity)) is not download:
            return
        if data is None:
            del self._by_device[session.protocol, session.identity]
            self._note(offer.delivery, fault="its bytes are not in the media folder any more")
            self._refuse(session.link, wanted, "gone")
            return
        self._statistics.count("downloads.bytes", len(data))
        session.link.hand_out(wanted, data)
        if wanted.offset + len(data) == offer.size:
            self._advance(download, offer.size)

    def _did_not_come(self, failure: Failure, download: Download) -> None:
        """Who asked asks again."""
        download.wanted -= 1
        self._statistics.count("downloads.not_read")
        self._say("no bytes of a file, they will be asked for again", failure)

    def _refuse(self, link: Link, wanted: Wanted, cause: str) -> None:
        self._statistics.count(f"downloads.refused.{cause}")
        link.hand_out(wanted, b"")

    def _advance(self, download: Download, sent: int) -> None:
        if sent > download.sent:
            # Soon when it begins and ends: people look at that, and workers act by it.
            is_urgent = download.sent == download.file.offer.sent or sent == download.file.offer.size
            download.sent = sent
            self._note(download.file.offer.delivery, sent=sent, is_urgent=is_urgent)

    def _note(self, delivery: int, *, sent: int = 0, fault: str = "", is_urgent: bool = False) -> None:
        """Have something written down with the next note; soon, if others act by it."""
        self._keep(DeliveryNote(delivery, sent, time.time_ns() // 1_000_000, fault))
        self._write_within(SOON_SECONDS if fault or is_urgent else NOTE_SECONDS)

    def _write_within(self, seconds: float) -> None:
        if self._note_timer is None or not self._note_timer.active():
            self._note_timer = self._clock.callLater(seconds, self._write_notes)
        elif self._note_timer.getTime() > self._clock.seconds() + seconds:
            self._note_timer.reset(seconds)

    def _write_notes(self) -> None:
        if self._depot is None:
            return
        notes = [self._notes.pop(delivery) for delivery in list(islice(self._notes, MOST_OFFERS))]
        if notes:
            self._depot.note(notes).addErrback(self._not_written, notes)
        if self._notes:
            self._note_timer = self._clock.callLater(SOON_SECONDS, self._write_notes)

    def _not_written(self, _: Failure, notes: Iterable[DeliveryNote]) -> None:
        self._statistics.count("downloads.not_noted")
        if self._depot is None:
            return
        for note in notes:
            self._keep(note)
        self._write_within(NOTE_SECONDS)

    def _keep(self, note: DeliveryNote) -> None:
        known = self._notes.get(note.delivery)
        self._notes[note.delivery] = note if known is None else known.joined(note)

    def _say(self, what: str, failure: Failure) -> None:
        cause = failure.type.__name__ if failure.type else ""
        self._seldom.say(log.warning, what, cause, error=failure.getErrorMessage())
