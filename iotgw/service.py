"""Where the gateway's objects meet."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from twisted.application.service import Application, Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, STDLibLogObserver

from iotgw.callers import Callers
from iotgw.commandbook import WorkersBook
from iotgw.depot import WorkersDepot
from iotgw.directory import RedisDirectory
from iotgw.draining import Draining
from iotgw.evidencetable import EvidenceTable
from iotgw.gateway import Gateway
from iotgw.listeners import OFF, Listeners
from iotgw.mailbox import Mailbox, Told
from iotgw.marks import RedisMarks
from iotgw.offload import Offload
from iotgw.publisher import Publisher
from iotgw.routetable import RouteTable
from iotgw.spool import Spool
from iotgw.tappublisher import TapPublisher
from protocols import DeviceProtocol
from protocols.registry import RegistryError, registered
from settings import AckRule, Admission, Settings, SettingsError
from settings.load import exit_with, load_or_exit
from settings.logs import configure
from tasks.contract import CommandEnded, CommandsWaiting, FactsWanted, FilesWaiting, Kick, Reply, Tap

if TYPE_CHECKING:
    from iotgw.control import Control

log = structlog.get_logger(__name__)

OTHER_FILES = 100
"""Descriptors that are not links': listeners, spool, broker, Redis, the interpreter's."""
RELEASE_SECONDS = 3.0
"""How long a stopping gateway waits for Redis to take its routes back, and before that its last evidence; and for workers to
have heard why its devices have left, and which commands were not written."""
PER_PROTOCOL = ("listen", "admissions", "acks", "idle_timeouts", "close_strangers")
"""Settings that are tables by protocol."""
COLLECT_EVERY = 20_000
"""New objects before the garbage collector looks at them. By Python's 700 every batch in flight was looked at again and
again, and with it all links: a quarter of the time, in pauses of 0.1 s with 15,000 of them. Links that close are freed
without it."""
SWITCH_INTERVAL_SECONDS = 0.0005
"""The publisher's and mailbox's threads hold the interpreter lock for at most so long while the reactor wants it."""


class GatewayService(Service):
    """Starts and stops listeners, threads and the gateway in the right order."""

    name = "gateway"

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._protocols = usable_protocols(settings)
        self._listeners = Listeners(settings, self._protocols, reactor)
        timeout = settings.receipt_timeout_seconds
        self._publisher = Publisher(settings.effective_broker_url, settings.gateway_id, reactor, timeout)
        self.gateway = Gateway(settings, reactor, self._publisher.publish)
        self._spool: Spool | None = None
        if settings.spool_bytes:
            self._spool = Spool(settings.effective_spool_folder, settings.spool_bytes, reactor, self.gateway.statistics)
            self.gateway.batches.overflow_into(self._spool)
        self._routes = RouteTable(settings.redis_url, settings.gateway_id, uuid4().hex[:12], reactor, self.gateway.statistics)
        self._routes.heard_until = lambda: self.gateway.batches.heard_until
        self.gateway.routes.keep_in(self._routes)
        self._tap_publisher = TapPublisher(settings.redis_url, settings.gateway_id, reactor)
        self.gateway.taps.publish_with(self._tap_publisher)
        self._evidence = EvidenceTable(settings.redis_url, reactor)
        self.gateway.evidence.keep_in(self._evidence)
        self._mailbox = Mailbox(settings.redis_url, settings.gateway_id, reactor, self._deliver)
        self.offload = Offload(settings.gateway_id, reactor, self.gateway.statistics, self._publisher.call)
        self.gateway.presence.tell_with(self._routes.run, self.offload)
        self._directory = RedisDirectory(settings.redis_url, reactor, self.offload)
        self.gateway.admissions.ask_of(self._directory)
        self._marks = RedisMarks("marks", settings.redis_url, reactor)
        self.gateway.wondering.ask_of(self._marks)
        self.gateway.downloads.fetch_from(WorkersDepot(self.offload))
        self.gateway.commanding.ask_of(WorkersBook(settings.gateway_id, self.offload))
        self._callers = Callers(reactor)
        self._draining = Draining(self.gateway, reactor, self._stop_listening)
        self._is_listening = False
        self._control = None if settings.control_listen == OFF else self._make_control()
        self._statistics = LoopingCall(self._log_statistics)
        self._statistics.clock = reactor

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        log.info("gateway starting", gateway=self._settings.gateway_id, admission=self._settings.admission.value)
        _open_files(self._settings.max_links)
        self._mailbox.start()
        self._routes.start()
        self._directory.start()
        self._marks.start()
        self._evidence.start()
        self._publisher.start()
        self._tap_publisher.start()
        if self._spool is not None:
            self._spool.open()
            self._spool.start()
        self.gateway.start()
        self._statistics.start(self._settings.statistics_seconds, now=False)
        for protocol in self._listeners.protocols:
            for text in protocol.warnings:
                log.warning("check the options", setting=f"protocols.{protocol.name}", warning=text)
            if self._settings.admission_of(protocol.name) is Admission.CREDENTIAL and not protocol.has_credentials:
                log.warning("its devices have no credentials, known ones are let in", setting=f"admissions.{protocol.name}")
            if (rule := self._settings.acks.get(protocol.name, AckRule.COMMIT)) is not AckRule.COMMIT:
                log.warning("messages may be lost that are acked", setting=f"acks.{protocol.name}", acks_leave=rule.value)
        self._listeners.start(self.gateway)
        self._is_listening = self._listeners.could_listen
        if self._control is not None:
            self._control.start()
        if not self._is_listening or (self._control is not None and not self._control.could_listen):
            # Started half, it would look alive and take nothing: whoever supervises it should know.
            raise SystemExit(1)

    @inlineCallbacks
    def stopService(self) -> Any:
        """Take no more in, have what was read stored and answered, then leave."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._draining.stop()
        yield self._stop_listening()
        drained = self.gateway.drain()
        drained.addTimeout(self._settings.shutdown_timeout_seconds, self._reactor)
        try:
            yield drained
        except Exception:
            log.warning(
                "stopping with batches without a receipt, their devices will send again", batches=self.gateway.batches.in_flight
            )
        yield self.gateway.close_links("shutdown")
        if self._spool is not None:
            self._spool.stop()
        told = self.gateway.presence.drain().addTimeout(RELEASE_SECONDS, self._reactor).addErrback(lambda _: None)
        returned = self.gateway.commanding.drain().addTimeout(RELEASE_SECONDS, self._reactor).addErrback(lambda _: None)
        yield self._write_evidence()
        yield self._release_routes()
        # If they cannot be told that nobody is here any more, workers find out.
        yield told
        # Commands that could not be put back end by their time-outs.
        yield returned
        self.offload.stop()
        self._callers.stop()
        self._directory.stop()
        self._marks.stop()
        if self._control is not None:
            yield self._control.stop()
        self._publisher.stop()
        self._mailbox.stop()
        self._tap_publisher.stop()
        if self._statistics.running:
            self._statistics.stop()
        self.gateway.stop()
        self._log_statistics()

    def _write_evidence(self) -> Deferred[None]:
        """Have the fleet know why links closed; what Redis does not take in time is dropped."""
        written = self.gateway.evidence.drain().addTimeout(RELEASE_SECONDS, self._reactor)
        return written.addErrback(lambda _: None).addCallback(lambda _: self._evidence.stop())

    @inlineCallbacks
    def _release_routes(self) -> Any:
        """Have other gateways know that nobody is here any more; if they cannot be told, they find out."""
        released = self.gateway.routes.drain()
        released.addCallback(lambda _: self._routes.stop())
        released.addTimeout(RELEASE_SECONDS, self._reactor)
        try:
            yield released
        except Exception:
            log.warning("stopping without having released all routes, they expire")

    def _make_control(self) -> Control:
        # Not at the top: a gateway without it has no need of what it takes.
        from iotgw.control import Control

        return Control(
            self._settings,
            self.gateway,
            self.offload,
            self._draining,
            self._mailbox,
            self._callers,
            self._protocols,
            self._listens,
            self._reactor,
        )

    def _listens(self) -> bool:
        return self._is_listening

    def _stop_listening(self) -> Deferred[Any]:
        """Once, whoever asks first: a drain or the end."""
        was_listening, self._is_listening = self._is_listening, False
        return self._listeners.stop() if was_listening else succeed(None)

    def _deliver(self, entries: Sequence[Told]) -> None:
        for entry in entries:
            if isinstance(entry, Kick):
                self.gateway.routes.kicked(entry)
            elif isinstance(entry, Reply):
                self.offload.receive(entry)
            elif isinstance(entry, Tap):
                self.gateway.taps.renew(entry)
            elif isinstance(entry, FactsWanted):
                self.gateway.evidence.tell(entry)
            elif isinstance(entry, FilesWaiting):
                self.gateway.downloads.look_again(entry)
            elif isinstance(entry, CommandsWaiting):
                self.gateway.commanding.look_again(entry)
            elif isinstance(entry, CommandEnded):
                self._callers.ended(entry)
            else:
                self.gateway.batches.receive(entry)

    def _log_statistics(self) -> None:
        log.info("statistics", **self.gateway.snapshot())


def make_service(settings: Settings, reactor: Any) -> GatewayService:
    """A gateway that is ready to start.

    Raises: SettingsError when an endpoint or a protocol's option cannot be used.
    """
    return GatewayService(settings, reactor)


def make_application() -> Any:
    """The application that ``twistd -y twistd.tac`` runs. Unusable settings end the process with status 2."""
    settings = load_or_exit()
    configure(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(COLLECT_EVERY)
    from twisted.internet import reactor

    application = Application("iotgw")
    # twistd would write its own form of log lines; all of Twisted's go where ours go.
    application.setComponent(ILogObserver, STDLibLogObserver("twisted"))
    try:
        make_service(settings, reactor).setServiceParent(application)  # type: ignore[no-untyped-call]
    except SettingsError as error:
        exit_with(error)
    return application


def _open_files(links: int) -> None:
    """Have as many as the links need: without them new links are accepted and closed, and nobody is told."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = links + OTHER_FILES
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        log.warning("fewer open files than links may be had", limit=allowed, wanted=wanted)


def usable_protocols(settings: Settings) -> dict[str, DeviceProtocol]:
    """Those that there are, with their options.

    Raises: SettingsError when an option cannot be used, or settings name another protocol.
    """
    try:
        protocols = registered(settings.protocols)
    except RegistryError as error:
        raise SettingsError(str(error)) from error
    for name, protocol in protocols.items():
        if settings.admission_of(name) is Admission.CREDENTIAL:
            protocols[name] = protocol.with_credentials()
    for key in [f"{table}.{name}" for table in PER_PROTOCOL for name in getattr(settings, table)]:
        if key.partition(".")[2] not in protocols:
            raise SettingsError(f"{key}: there is no such protocol: use one of {', '.join(sorted(protocols))}")
    return protocols
