"""TLS on links: devices' certificates, files that change, and what is refused.

| fault case | test |
| --- | --- |
| a device's certificate will not do | test_a_device_s_certificate_that_will_not_do_is_refused_and_disturbs_nobody |
| no TLS on a TLS port, an old version | test_what_is_no_tls_is_refused, test_an_old_version_is_refused |
| a certificate is replaced | test_new_files_are_taken_without_a_restart |
| its replacement is broken | test_files_that_cannot_be_used_leave_the_old_certificate |
| its files' disk hangs | test_while_a_disk_hangs_devices_are_served, test_a_disk_that_hangs_does_not_keep_the_process |
| our certificate expires | test_a_certificate_that_ends_soon_or_has_ended_is_said_every_day |
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from structlog.testing import capture_logs
from twisted.internet.task import Clock

from iotgw.certificatefiles import CertificateError
from iotgw.reactor import WriteThroughServer
from iotgw.tls import Certificates, TlsProtocol
from settings import Settings
from tests.certificates import Authority
from tests.iotgw.test_accepting import PROXY, Listener, listen, only_link  # noqa: F401 (a fixture)


class Device:
    """A device with TLS, whose socket is served while it waits."""

    def __init__(self, listener: Listener, context: ssl.SSLContext, header: bytes = b"") -> None:
        self._listener = listener
        plain = listener.connect()
        plain.send(header)
        self.socket = context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
        listener.clients.append(self.socket)
        self.error: ssl.SSLError | OSError | None = None
        try:
            self.served(self.socket.do_handshake)
        except OSError as error:
            self.error = error

    def served(self, action: Any) -> Any:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                return action()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._listener.turn(lambda: True)
        raise AssertionError("nothing came")

    def ask(self, line: bytes) -> bytes:
        """Send a line and get its ack; what went wrong with either is raised."""
        self.socket.sendall(line)
        self._listener.turn()
        self._listener.house.clock.advance(0)
        self._listener.house.commit()
        answer: bytes = self.served(lambda: self.socket.recv(100))
        return answer

    @property
    def certificate_number(self) -> str:
        certificate = self.socket.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def look(listener: Listener) -> None:
    """Have the files looked at, and serve links until they are."""
    certificates = listener.listeners._certificates
    assert certificates is not None
    turn_until(listener, lambda: not certificates._is_looking)
    certificates.look()
    turn_until(listener, lambda: not certificates._is_looking)


def turn_until(listener: Listener, is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        listener.turn(is_so)


def assert_refused(device: Device, cause: str, listener: Listener) -> None:
    """The handshake fails, or, by TLS 1.3, what comes behind it."""
    if device.error is None:
        with pytest.raises(OSError, match=r"alert|reset|closed|EOF|Broken pipe"):
            assert device.ask(b"dev 1 a\n"), "EOF"
    listener.turn()
    counted = {name: count for name, count in listener.house.statistics.snapshot().items() if name.startswith("tls.")}
    assert counted == {f"tls.refused.{cause}": 1}
    assert listener.house.statistics["links.closed.tls"] == 1
    assert listener.house.statistics["messages"] == 0


@pytest.mark.parametrize("kind", ["tls", "haproxy-tls"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_speaks_over_tls_as_over_tcp(listen, kind, version):  # noqa: F811
    listener = listen(kind)
    context = listener.authority.client()
    context.minimum_version = context.maximum_version = version
    device = Device(listener, context, PROXY % b"192.0.2.7" if "haproxy" in kind else b"")
    assert device.error is None
    assert device.ask(b"dev 1 a\n") == b"dev:1 STORED\n"
    link = only_link(listener)
    assert isinstance(link.transport, TlsProtocol)
    assert isinstance(link.transport.transport, WriteThroughServer), "bytes leave at once here too"
    assert link.peer.startswith("192.0.2.7:4711" if "haproxy" in kind else "127.0.0.1:")
    for number in range(2, 10):
        assert device.ask(b"dev 1 %s\n" % (b"x" * 1000)) == b"dev:%d STORED\n" % number
    link.close("idle")
    assert device.served(lambda: device.socket.recv(100)) == b"", "with TLS's own goodbye"


def test_twisted_s_own_tls_endpoint_serves_and_refuses_too(listen, tmp_path):  # noqa: F811
    authority = Authority(tmp_path, "other")
    path = authority.sign("string")
    listener = listen(f"ssl:0:interface=127.0.0.1:privateKey={path}:certKey={path}", max_links=1)
    # Its answers would leave by the process's own reactor, which is not turned here.
    Device(listener, authority.client()).socket.send(b"dev 1 a\n")
    listener.turn()
    assert listener.house.statistics["messages"] == 1
    second = listener.connect()
    assert listener.is_closed(second)
    assert listener.house.statistics["links.refused.all"] == 1


def test_without_an_authority_nobody_is_asked_for_a_certificate(listen):  # noqa: F811
    listener = listen("tls")
    assert Device(listener, listener.authority.client()).ask(b"dev 1 a\n")


@pytest.mark.parametrize("is_required", [False, True])
def test_a_device_with_a_certificate_comes_in(listen, tmp_path, is_required):  # noqa: F811
    devices = Authority(tmp_path, "devices")
    listener = listen("tls", tls_client_ca=devices.path, tls_require_client=is_required)
    assert Device(listener, listener.authority.client(devices.sign("device"))).ask(b"dev 1 a\n") == b"dev:1 STORED\n"


def test_a_device_without_a_certificate_comes_in_where_it_need_not_have_one(listen, tmp_path):  # noqa: F811
    listener = listen("tls", tls_client_ca=Authority(tmp_path, "devices").path)
    assert Device(listener, listener.authority.client()).ask(b"dev 1 a\n") == b"dev:1 STORED\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("cause", ["expired", "not_yet_valid", "unknown", "no_certificate"])
def test_a_device_s_certificate_that_will_not_do_is_refused_and_disturbs_nobody(listen, tmp_path, cause, version):  # noqa: F811
    devices, others = Authority(tmp_path, "devices"), Authority(tmp_path, "others")
    certificate = {
        "expired": lambda: devices.sign("device", days=-1),
        "not_yet_valid": lambda: devices.sign("device", days=2, since_days=1),
        "unknown": lambda: others.sign("device"),
        "no_certificate": lambda: None,
    }[cause]()
    listener = listen("tls", tls_client_ca=devices.path, tls_require_client=True)
    good = Device(listener, listener.authority.client(devices.sign("good")))
    context = listener.authority.client(certificate)
    context.maximum_version = version
    with capture_logs() as lines:
        assert_refused(Device(listener, context), cause, listener)
    assert [(line["event"], line["cause"]) for line in lines] == [("TLS refused", cause)]
    assert listener.transports == 1
    assert good.ask(b"dev 1 a\n") == b"dev:1 STORED\n"


def test_a_device_that_does_not_like_our_certificate_is_counted_as_such(listen, tmp_path):  # noqa: F811
    listener = listen("tls")
    device = Device(listener, Authority(tmp_path, "others").client())
    assert isinstance(device.error, ssl.SSLCertVerificationError)
    with suppress(OSError):
        device.socket.close()
    listener.turn()
    assert listener.house.statistics["tls.refused.by_device"] == 1


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\n\r\n", b"dev 1 a\n" * 10, bytes(100), PROXY % b"192.0.2.7"])
def test_what_is_no_tls_is_refused(listen, text):  # noqa: F811
    listener = listen("tls")
    client = listener.connect()
    with capture_logs() as lines:
        client.send(text)
        listener.turn()
        for _ in range(3):
            listener.connect().send(text)
            listener.turn()
    assert listener.is_closed(client) or listener.is_closed(client), "an alert may come first"
    assert listener.house.statistics["tls.refused.no_tls"] == 4
    assert len(lines) == 1, "and not for each"
    assert listener.gateway.links == listener.transports == 0


def test_an_old_version_is_refused(listen):  # noqa: F811
    listener = listen("tls", tls_minimum="1.3")
    context = listener.authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert_refused(Device(listener, context), "version", listener)


@pytest.mark.parametrize("at", range(0, 200, 23))
def test_a_handshake_that_is_cut_is_a_link_that_ended(listen, at):  # noqa: F811
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    listener = listen("tls")
    hello = listener.authority.client().wrap_bio(come, go, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    client = listener.connect()
    client.send(go.read()[:at])
    listener.turn()
    client.close()
    listener.turn()
    counted = listener.house.statistics.snapshot()
    assert {name for name in counted if name.startswith(("tls", "links.closed"))} == {"links.closed.peer"}
    assert listener.gateway.links == listener.transports == 0


def test_new_files_are_taken_without_a_restart(listen):  # noqa: F811
    listener = listen("tls")
    before = Device(listener, listener.authority.client())
    listener.authority.sign("gateway", days=40)
    look(listener)
    after = Device(listener, listener.authority.client())
    assert before.certificate_number != after.certificate_number
    assert before.ask(b"one 1 a\n") == b"one:1 STORED\n", "the old link goes on"
    assert after.ask(b"two 1 a\n") == b"two:1 STORED\n"


def test_a_new_authority_counts_for_new_links(listen, tmp_path):  # noqa: F811
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(old.path.read_bytes())
    listener = listen("tls", tls_client_ca=trusted, tls_require_client=True)
    before = Device(listener, listener.authority.client(old.sign("old-device")))
    assert before.ask(b"one 1 a\n") == b"one:1 STORED\n"
    trusted.write_bytes(new.path.read_bytes() + b"\n")
    look(listener)
    assert Device(listener, listener.authority.client(new.sign("new-device"))).ask(b"two 1 a\n") == b"two:1 STORED\n"
    assert before.ask(b"one 1 b\n") == b"one:2 STORED\n"
    late = Device(listener, listener.authority.client(old.sign("old-device")))
    late.socket.close()
    listener.turn()
    assert listener.house.statistics["tls.refused.unknown"] == 1


def test_a_device_that_goes_without_tls_s_goodbye_is_a_link_that_ended(listen):  # noqa: F811
    listener = listen("tls")
    device = Device(listener, listener.authority.client())
    assert device.ask(b"dev 1 a\n") == b"dev:1 STORED\n"
    device.socket.close()
    listener.turn()
    counted = listener.house.statistics.snapshot()
    assert {name for name in counted if name.startswith(("tls", "links.closed"))} == {"links.closed.peer"}


class ThreadedClock(Clock):
    """A clock that takes calls from threads, and makes them when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._told: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._told.put((function, arguments))

    def turn(self) -> None:
        """Wait for one call, and make it."""
        function, arguments = self._told.get(timeout=10)
        function(*arguments)


class Held:
    """Certificates whose clock stands still, looked at once."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = ThreadedClock()
        self.certificates = Certificates(Settings(tls_certificate=folder / "gateway.pem", **settings), self.clock)
        self.certificates.start()
        self.clock.turn()

    @property
    def ends_at(self) -> Any:
        return self.certificates.ends_at

    def pass_minutes(self, number: int) -> None:
        """With the look that each of them brings."""
        for _ in range(number):
            self.clock.advance(60)
            self.clock.turn()

    def stop(self) -> None:
        self.certificates.stop()
        self.certificates._thread.join(10)
        assert not self.certificates._thread.is_alive()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., Held]]:
    held: list[Held] = []

    def start(**settings: Any) -> Held:
        held.append(Held(tmp_path, **settings))
        return held[-1]

    yield start
    for one in held:
        one.stop()


def test_files_are_looked_at_every_minute(tmp_path, hold):
    authority = Authority(tmp_path)
    authority.sign("gateway", days=30)
    held = hold()
    first = held.ends_at
    authority.sign("gateway", days=60)
    held.clock.advance(59)
    held.clock.advance(1)
    assert held.ends_at == first, "a look ends in the reactor only"
    held.clock.turn()
    assert held.ends_at > first
    held.certificates.stop()
    assert not held.clock.getDelayedCalls()


def spoil(folder: Path, how: str) -> str:
    """Break the files; what is said of it."""
    path, key = folder / "gateway.pem", folder / "gateway.key"
    match how:
        case "gone":
            path.unlink()
            return f"tls_certificate: {path} cannot be read (No such file or directory)"
        case "empty":
            path.write_bytes(b"")
            return f"tls_certificate: {path} holds no certificate in PEM form"
        case "half":
            path.write_bytes(path.read_bytes()[:200])
            return f"tls_certificate: {path} holds no certificate in PEM form"
        case "no key":
            key.write_text("-----BEGIN PRIVATE KEY-----\n")
            return f"tls_key: {key} holds no private key in PEM form"
        case "another key":
            Authority(folder, "other").sign("gateway", key_in="unused.key")
            return f"tls_key: the key in {key} is not the one of {path}"
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["gone", "empty", "half", "no key", "another key"])
def test_files_that_cannot_be_used_leave_the_old_certificate(tmp_path, hold, how):
    authority = Authority(tmp_path)
    authority.sign("gateway", key_in="gateway.key")
    held = hold(tls_key=tmp_path / "gateway.key")
    first = held.ends_at
    said = spoil(tmp_path, how)
    with capture_logs() as lines:
        held.pass_minutes(3)
    assert [(line["event"], line["log_level"], line["cause"]) for line in lines] == [
        ("new certificate cannot be used, the old one stays", "error", said)
    ], "once"
    assert held.ends_at == first
    held.certificates.serverConnectionForTLS(object())  # type: ignore[arg-type]
    authority.sign("gateway", days=90, key_in="gateway.key")
    held.pass_minutes(1)
    assert held.ends_at > first, "and files that can are taken"
    spoil(tmp_path, how)
    with pytest.raises(CertificateError) as caught:
        hold(tls_key=tmp_path / "gateway.key")
    assert str(caught.value) == said, "and at the start it is an error"


def test_files_that_break_the_look_itself_are_looked_at_again(tmp_path, hold, monkeypatch):
    authority = Authority(tmp_path)
    authority.sign("gateway", days=30)
    held = hold()
    first = held.ends_at
    authority.sign("gateway", days=60)
    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr("iotgw.tls.signature", lambda settings: 1 / 0)
        held.pass_minutes(1)
    assert [line["cause"] for line in lines] == ["division by zero"]
    held.pass_minutes(1)
    assert held.ends_at > first


def test_a_new_certificate_that_has_expired_does_not_replace_a_good_one(tmp_path, hold):
    authority = Authority(tmp_path)
    authority.sign("gateway")
    held = hold()
    first = held.ends_at
    authority.sign("gateway", days=-1)
    with capture_logs() as lines:
        held.pass_minutes(1)
    assert held.ends_at == first
    assert "has expired at" in lines[0]["cause"]


@pytest.mark.parametrize(("days", "said"), [(13, "certificate expires soon"), (-1, "certificate has expired")])
def test_a_certificate_that_ends_soon_or_has_ended_is_said_every_day(tmp_path, hold, days, said):
    authority = Authority(tmp_path)
    authority.sign("gateway", days=days)
    with capture_logs() as lines:
        held = hold()
        held.pass_minutes(60 * 24 * 2)
    assert [line["event"] for line in lines] == [said] * 3
    assert lines[0]["until"] == held.ends_at.isoformat(timespec="seconds")
    authority.sign("gateway", days=90)
    with capture_logs() as lines:
        held.pass_minutes(60 * 24)
    assert [line["event"] for line in lines] == ["certificate changed"]


def test_a_chain_is_sent_whole(listen, tmp_path):  # noqa: F811
    listener = listen("tls")
    path = tmp_path / "gateway.pem"
    path.write_bytes(path.read_bytes() + listener.authority.path.read_bytes())
    look(listener)
    device = Device(listener, listener.authority.client())
    assert len(device.socket._sslobj.get_unverified_chain()) == 2


class HangingDisk:
    """Gives nothing of a file to whoever reads it, until it is let go on, or the test has failed for long."""

    def __init__(self, path: Path) -> None:
        self._path, self._data = path, path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        self._patience = threading.Timer(60, self.go_on)
        self._patience.daemon = True
        self._patience.start()

    def go_on(self) -> None:
        self._patience.cancel()
        # Open for both, it waits for no reader.
        pipe = os.open(self._path, os.O_RDWR)
        os.write(pipe, self._data)
        os.close(pipe)


def test_while_a_disk_hangs_devices_are_served(listen, tmp_path):  # noqa: F811
    ours = Authority(tmp_path, "ours")
    settings = {"tls_certificate": ours.sign("served", key_in="served.key"), "tls_key": tmp_path / "served.key"}
    listener = listen("tls", **settings)
    certificates = listener.listeners._certificates
    look(listener)
    first = certificates.ends_at
    disk = HangingDisk(ours.sign("served", days=40, key_in="served.key"))
    with capture_logs() as lines:
        for _ in range(3):
            certificates.look()
            assert Device(listener, ours.client()).ask(b"dev 1 a\n").endswith(b" STORED\n")
        assert certificates.ends_at == first
        disk.go_on()
        turn_until(listener, lambda: not certificates._is_looking)
    said = [line["event"] for line in lines if "certificate" in line["event"]]
    assert said == ["certificate files cannot be looked at, their disk hangs", "certificate changed"]
    assert certificates.ends_at > first
    Device(listener, ours.client()).ask(b"dev 1 a\n")


def test_a_certificate_that_ends_is_said_while_its_disk_hangs_too(tmp_path, hold):
    path = Authority(tmp_path).sign("gateway", days=13, key_in="gateway.key")
    held = hold(tls_key=tmp_path / "gateway.key")
    disk = HangingDisk(path)
    with capture_logs() as lines:
        held.clock.pump([60] * 60 * 24 * 2)
    assert [line["event"] for line in lines if "expires" in line["event"]] == ["certificate expires soon"] * 2
    disk.go_on()


ENDS = """
import sys
from pathlib import Path
from twisted.internet import reactor
from iotgw.tls import Certificates
from settings import Settings
from tests.certificates import Authority
from tests.iotgw.test_tls import HangingDisk

folder = Path(sys.argv[1])
path = Authority(folder).sign("gateway", key_in="gateway.key")
certificates = Certificates(Settings(tls_certificate=path, tls_key=folder / "gateway.key"), reactor)
HangingDisk(path)
reactor.callWhenRunning(certificates.start)
reactor.addSystemEventTrigger("during", "shutdown", certificates.stop)
reactor.callWhenRunning(reactor.callLater, 0, reactor.stop)
reactor.run()
"""


def test_a_disk_that_hangs_does_not_keep_the_process(tmp_path):
    root = Path(__file__).parent.parent.parent
    ended = subprocess.run([sys.executable, "-c", ENDS, tmp_path], cwd=root, timeout=40, check=False)
    assert ended.returncode == 0
