"""Commands on their way down to devices.

    wondering, mailbox ──▶ devices for which a command may wait
                              │ a task for many: next_commands
    codec ◀── prepare ────────┤ refused ──▶ unsent, with the fault
                              │ a task for many: sending
    device ◀── launch ────────┤ granted, and the session is still this one
                              └ granted, and it is not ──▶ unsent: it waits for the next session

A row is sent before its bytes leave. Nothing is written without a grant for exactly what was prepared, and what had a grant
and was not written is put back; so no command is done twice, and one of which nobody knows is told apart from one that
waits. What a device answers is a message like any other, and no matter of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import structlog
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iotgw.commandbook import SETTLED_SECONDS, CommandBook
from iotgw.marks import Device
from iotgw.offload import StoppingError, TaskFailedError, TooManyCallsError
from iotgw.seldom import Seldom
from iotgw.sessions import Session, Sessions
from iotgw.statistics import Statistics
from protocols.command import Prepared
from tasks.contract import MOST_COMMANDS, Asking, CommandsWaiting, Leaving, Ready, Unsent

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
SOON_SECONDS = 0.5
"""When devices are asked for again of whose commands none may leave after all."""
MOST_ROUNDS = 4
"""Questions at a time, each of many devices: their answers, of a reply's size each, are what is held in memory."""
MOST_SENDING_BYTES = 256 * 1024
"""Frames in one question. A longer one goes alone."""
MOST_FAULT = 200
"""Characters of why a device cannot take a command."""


class _Bound(NamedTuple):
    """A command as it would leave over a session's link, and over no other."""

    session: Session
    command: int
    prepared: Prepared


class _Return(NamedTuple):
    """A command that was not written."""

    device: Device
    unsent: Unsent


class Commanding:
    """Has each device get the commands whose turn it is, once."""

    def __init__(self, sessions: Sessions, clock: IReactorTime, statistics: Statistics) -> None:
        self._sessions = sessions
        self._clock = clock
        self._statistics = statistics
        self._book: CommandBook | None = None
        self._marked: dict[Device, None] = {}
        """Devices for which a command may wait."""
        self._busy: dict[Device, int] = {}
        """How much is under way for a device: it is asked for again when nothing is."""
        self._rounds = 0
        self._most = MOST_COMMANDS
        self._look_timer: IDelayedCall | None = None
        self._not_before = 0.0
        """No question sooner, since the last had no answer."""
        self._timers: set[IDelayedCall] = set()
        self._is_draining = False
        self._drained: list[Deferred[None]] = []
        self._seldom = Seldom(clock.seconds)

    def ask_of(self, book: CommandBook) -> None:
        """Have somebody who has the commands."""
        self._book = book

    def __len__(self) -> int:
        return len(self._busy)

    def look_again(self, told: CommandsWaiting) -> None:
        """Something has changed in what a device is told to do."""
        self.wait_for([(told.protocol, told.identity)])

    def wait_for(self, devices: Sequence[Device]) -> None:
        """Commands may wait for devices, of which those are asked for that are here."""
        here = [device for device in devices if self._sessions.get(*device) is not None]
        if here and self._book is not None and not self._is_draining:
            self._marked.update(dict.fromkeys(here))
            self._hasten()

    def ended(self, session: Session) -> None:
        """A device has left. What waits for it waits for its next session, here or elsewhere."""
        self._marked.pop((session.protocol, session.identity), None)

    def rest(self) -> None:
        """Write no more commands, for devices are not listened to any more; what is granted goes back."""
        self._is_draining = True
        self._marked.clear()

    def drain(self) -> Deferred[None]:
        """Rest; fires when nothing is under way."""
        self.rest()
        if not self._busy:
            return succeed(None)
        drained: Deferred[None] = Deferred(self._drained.remove)
        self._drained.append(drained)
        return drained

    def stop(self) -> None:
        for timer in (self._look_timer, *self._timers):
            if timer is not None and timer.active():
                timer.cancel()
        self._book = None

    def _hasten(self) -> None:
        if self._look_timer is None or not self._look_timer.active():
            self._look_timer = self._clock.callLater(max(0.0, self._not_before - self._clock.seconds()), self._look)

    def _later(self, seconds: float, do: Callable[..., None], *arguments: Any) -> None:
        if self._book is not None:
            self._timers = {timer for timer in self._timers if timer.active()}
            self._timers.add(self._clock.callLater(seconds, do, *arguments))

    def _look(self) -> None:
        while self._book is not None and self._rounds < MOST_ROUNDS:
            if self._clock.seconds() < self._not_before:
                self._hasten()
                return
            sessions = self._next_sessions()
            if not sessions:
                return
            self._rounds += 1
            self._hold(_device(session) for session in sessions)
            self._round(self._book, sessions).addErrback(self._failed).addBoth(self._round_over, sessions)

    def _next_sessions(self) -> list[Session]:
        """Of devices for which a command may wait and nothing is under way, as many as go into one question."""
        found = []
        for device in list(islice((device for device in self._marked if device not in self._busy), self._most)):
            del self._marked[device]
            session = self._sessions.get(*device)
            if session is not None:
                found.append(session)
        return found

    @inlineCallbacks
    def _round(self, book: CommandBook, sessions: Sequence[Session]) -> Generator[Deferred[Any], Any, None]:
        try:
            asking = [Asking(session.protocol, session.identity, session.head) for session in sessions]
            told: list[list[Ready]] = yield book.next_commands(asking)
        except Exception as error:
            self._not_told(error, sessions)
            return
        self._most = min(2 * self._most, MOST_COMMANDS)
        has_launched = False
        parcels = list(_parcels(self._prepare(sessions, told)))
        for parcel in parcels:
            launched = yield self._send(book, parcel)
            if launched is None:
                # Of a device's commands the first goes first: the others stay queued.
                break
            has_launched |= launched > 0
        # An answer has so many of each device, and so many bytes: there may be more, of those too of whom it has none.
        devices = [_device(session) for session in sessions]
        if has_launched:
            self.wait_for(devices)
        elif parcels:
            self._later(SOON_SECONDS, self.wait_for, devices)

    def _not_told(self, error: Exception, sessions: Sequence[Session]) -> None:
        """Ask again for those that are still here; for fewer at a time, if it is the answer that is too much for a worker."""
        self._not_answered(error)
        if isinstance(error, TaskFailedError):
            self._most = max(1, len(sessions) // 2)
        self.wait_for([_device(session) for session in sessions])

    def _prepare(self, sessions: Sequence[Session], told: Sequence[Sequence[Ready]]) -> list[_Bound]:
        bound: list[_Bound] = []
        refused: list[_Return] = []
        for session, ready in zip(sessions, told, strict=True):
            for command, kind, body in ready:
                if not self._is_here(session):
                    break
                try:
                    prepared = session.link.prepare(session.head, kind, body, command)
                except ValueError as error:
                    self._statistics.count("commands.refused")
                    refused.append(_Return(_device(session), Unsent(command, _fault(error))))
                else:
                    bound.append(_Bound(session, command, prepared))
        self._put_back(refused)
        return bound

    @inlineCallbacks
    def _send(self, book: CommandBook, parcel: Sequence[_Bound]) -> Generator[Deferred[Any], Any, int | None]:
        """How many were written; None if the question had no answer."""
        leaving = [Leaving(one.command, one.prepared.sequence, one.prepared.data) for one in parcel]
        try:
            granted: list[bool] = yield book.sending(leaving)
        except Exception as error:
            self._not_answered(error)
            if not isinstance(error, TooManyCallsError):
                self._statistics.count("commands.unsent", len(parcel))
                # A worker may have granted it, or be about to: nobody writes it, and it is put back when that is over.
                self._put_back([_Return(_device(one.session), Unsent(one.command, "")) for one in parcel], SETTLED_SECONDS)
            return None
        unsent: list[_Return] = []
        for one, is_granted in zip(parcel, granted, strict=True):
            if not is_granted:
                self._statistics.count("commands.not_granted")
            elif (fault := self._launch(one)) is not None:
                unsent.append(_Return(_device(one.session), Unsent(one.command, fault)))
        self._statistics.count("commands.unsent", len(unsent))
        self._put_back(unsent)
        return sum(granted) - len(unsent)

    def _launch(self, one: _Bound) -> str | None:
        """Why it was not written, empty for one that may be tried again; None if it was."""
        if self._is_draining or not self._is_here(one.session):
            return ""
        try:
            one.session.link.launch(one.prepared)
        except ValueError as error:
            return _fault(error)
        self._statistics.count("commands.launched")
        log.debug("command launched", protocol=one.session.protocol, device=one.session.identity, command=one.command)
        return None

    def _is_here(self, session: Session) -> bool:
        return self._sessions.get(*_device(session)) is session and session.link.is_listened_to

    def _put_back(self, returns: Sequence[_Return], after_seconds: float = 0) -> None:
        """Have commands that were not written known as such, and their devices wait for that."""
        for start in range(0, len(returns), MOST_COMMANDS):
            some = returns[start : start + MOST_COMMANDS]
            self._hold(one.device for one in some)
            self._return(some, after_seconds)

    def _return(self, returns: Sequence[_Return], after_seconds: float) -> None:
        if after_seconds:
            self._later(after_seconds, self._return_now, returns)
        else:
            self._return_now(returns)

    def _return_now(self, returns: Sequence[_Return]) -> None:
        if self._book is not None:
            told = self._book.unsent([one.unsent for one in returns])
            told.addCallbacks(self._returned, self._not_returned, callbackArgs=(returns,), errbackArgs=(returns,))

    def _returned(self, _: None, returns: Sequence[_Return]) -> None:
        devices = [one.device for one in returns]
        self.wait_for(devices)
        self._free(devices)

    def _not_returned(self, failure: Failure, returns: Sequence[_Return]) -> None:
        """A second word must not find the command on its way again: so not before the first can be done no more."""
        self._not_answered(failure.value)
        self._return(returns, RETRY_SECONDS if failure.check(TooManyCallsError) else SETTLED_SECONDS)

    def _hold(self, devices: Iterable[Device]) -> None:
        for device in devices:
            self._busy[device] = self._busy.get(device, 0) + 1

    def _free(self, devices: Iterable[Device]) -> None:
        for device in devices:
            self._busy[device] -= 1
            if not self._busy[device]:
                del self._busy[device]
        if self._marked:
            self._hasten()
        if not self._busy:
            drained, self._drained = self._drained, []
            for each in drained:
                each.callback(None)

    def _round_over(self, _: None, sessions: Sequence[Session]) -> None:
        self._rounds -= 1
        self._free(_device(session) for session in sessions)

    def _failed(self, failure: Failure) -> None:
        log.error("commands not sent", exc_info=failure.value)

    def _not_answered(self, error: BaseException | None) -> None:
        if isinstance(error, StoppingError):
            return
        self._not_before = self._clock.seconds() + RETRY_SECONDS
        self._statistics.count("commands.not_answered")
        self._seldom.say(log.warning, "no answer about commands, will ask again", type(error).__name__, error=str(error))


def _device(session: Session) -> Device:
    return session.protocol, session.identity


def _fault(error: ValueError) -> str:
    return str(error)[:MOST_FAULT] or type(error).__name__


def _parcels(bound: Sequence[_Bound]) -> Iterator[list[_Bound]]:
    """As many as go into one question at a time."""
    parcel: list[_Bound] = []
    size = 0
    for one in bound:
        size += len(one.prepared.data)
        if parcel and (len(parcel) == MOST_COMMANDS or size > MOST_SENDING_BYTES):
            yield parcel
            parcel, size = [], len(one.prepared.data)
        parcel.append(one)
    if parcel:
        yield parcel
