"""MQTT, with a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client

from tasks.forward.mqtt import MQTT, MQTTOptions, MQTTTarget, topic_of
from tasks.forward.registry import KindError, checked_options
from tasks.forward.target import Notice, RefusedError, TryAgainError
from tests.certificates import Authority
from tests.servers import Child, Mosquitto, free_port, wait_until
from tests.tasks.forward.listeners import Listener

TEMPLATE = "iotgw/{protocol}/{identity}/{source}"


def notice(number: int = 1, identity: str = "7", body: bytes = b"") -> Notice:
    return Notice(f"reports-{number}", "reports", "fake", identity, "location", body or b'{"id":"reports-%d"}' % number)


class Broker:
    """A mosquitto of one test, and what connects to it."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self.mosquitto = mosquitto
        self.port = free_port()
        self._child: Child | None = None
        self._open: list[Any] = []

    def start(self, *lines: str) -> Child:
        self._child = self.mosquitto.start(self.port, *lines)
        return self._child

    def listen(self, **options: Any) -> Listener:
        self._open.append(Listener(self.port, **options))
        return self._open[-1]  # type: ignore[no-any-return]

    def target(self, scheme: str = "mqtt", **options: Any) -> MQTTTarget:
        self._open.append(MQTTTarget(f"{scheme}://localhost:{self.port}", MQTTOptions(**options)))
        return self._open[-1]  # type: ignore[no-any-return]

    def close(self) -> None:
        for connected in self._open:
            connected.close()
        if self._child:
            self._child.stop()


@pytest.fixture
def broker(mosquitto: Mosquitto) -> Iterator[Broker]:
    broker = Broker(mosquitto)
    yield broker
    broker.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_each_notice_comes_on_its_device_s_topic_in_order(broker: Broker, version: str) -> None:
    broker.start()
    listener = broker.listen()
    target = broker.target(version=version)
    target.open()
    notices = [notice(number, f"{number % 3}") for number in range(1_000)]
    target.send(notices)
    wait_until(lambda: len(listener.messages) == 1_000, "all have come")
    assert listener.messages == [(topic_of(TEMPLATE, sent), sent.body) for sent in notices]


def test_no_more_are_under_way_than_the_broker_wants(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosquitto says 20 by default; a broker may close the connection of who sends more."""
    broker.start("allow_anonymous true", "max_inflight_messages 3")
    listener = broker.listen()
    target = broker.target()
    target.open()
    under_way: list[int] = []
    publish = Client.publish

    def counted(self: Client, *words: Any, **named: Any) -> Any:
        under_way.append(len(under_way) - len(target._acks))
        return publish(self, *words, **named)

    monkeypatch.setattr(Client, "publish", counted)
    target.send([notice(number) for number in range(200)])
    wait_until(lambda: len(listener.messages) == 200, "all have come")
    assert max(under_way) <= 2


def test_nothing_counts_as_taken_when_the_broker_is_killed(broker: Broker) -> None:
    child = broker.start()
    target = broker.target(total_seconds=20)
    target.open()
    target.send([notice()])
    child.kill()
    with pytest.raises(TryAgainError, match=r"connection lost|not sent"):
        target.send([notice()])
    target.close()
    with pytest.raises(TryAgainError, match="Connection refused"):
        target.open()
    target.close()
    broker.start()
    target.open()
    target.send([notice()])


def test_a_broker_that_hangs_is_left_after_the_total_time(broker: Broker) -> None:
    child = broker.start()
    target = broker.target(total_seconds=0.3, connect_seconds=0.3)
    target.open()
    child.process.send_signal(19)
    try:
        began = time.monotonic()
        with pytest.raises(TryAgainError, match=r"not confirmed within 0\.3 s"):
            target.send([notice()])
        target.close()
        with pytest.raises(TryAgainError, match=r"no answer to CONNECT within 0\.3 s"):
            target.open()
        target.close()
        assert time.monotonic() - began < 10
    finally:
        child.process.send_signal(18)


def test_user_and_password_are_shown_and_a_wrong_one_is_said(broker: Broker, tmp_path: Path) -> None:
    broker.start(f"password_file {broker.mosquitto.passwords('iotgw', 's3cret-s3cret')}")
    (tmp_path / "password").write_text("s3cret-s3cret\n")
    listener = broker.listen(user="iotgw", password="s3cret-s3cret")
    target = broker.target(user="iotgw", password_file=tmp_path / "password")
    target.open()
    target.send([notice()])
    wait_until(lambda: listener.messages, "it has come")
    (tmp_path / "password").write_text("wrong-wrong\n")
    wrong = broker.target(user="iotgw", password_file=tmp_path / "password")
    with pytest.raises(TryAgainError, match="broker refuses the connection: Not authorized") as raised:
        wrong.open()
    assert "wrong-wrong" not in str(raised.value)


def test_a_right_that_is_missing_is_said_and_tried_again(broker: Broker) -> None:
    """In MQTT 5. In 3.1.1 the broker would confirm what it throws away."""
    rights = broker.mosquitto.file("rights", "topic read #\ntopic write iotgw/fake/7/#\n")
    broker.start("allow_anonymous true", f"acl_file {rights}")
    target = broker.target()
    target.open()
    target.send([notice()])
    with pytest.raises(TryAgainError, match="broker does not take it: Not authorized"):
        target.send([notice(1), notice(2, "8")])


def test_a_certificate_is_verified(broker: Broker, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    signed = broker.mosquitto.file("broker.pem", source=authority.sign("broker"))
    broker.start("allow_anonymous true", f"certfile {signed}", f"keyfile {signed}")
    with pytest.raises(TryAgainError, match="CERTIFICATE_VERIFY_FAILED"):
        broker.target("mqtts", ca_file=other.path).open()
    target = broker.target("mqtts", ca_file=authority.path)
    target.open()
    target.send([notice()])


def test_a_notice_longer_than_the_broker_takes_is_refused_and_the_others_come(broker: Broker) -> None:
    """Sent all the same, it would end the connection each time, and hold back all that are behind it."""
    broker.start("allow_anonymous true", "max_packet_size 2000")
    listener = broker.listen()
    target = broker.target()
    target.open()
    with pytest.raises(RefusedError, match="longer than the broker takes") as raised:
        target.send([notice(1), notice(2, body=b'{"id":"reports-2","text":"' + b"x" * 2_000 + b'"}'), notice(3)])
    assert raised.value.ids == {"reports-2"}
    wait_until(lambda: len(listener.messages) == 2, "the others have come")


@pytest.mark.parametrize(
    ("identity", "topic"),
    [
        ("013800138000", "iotgw/fake/013800138000/reports"),
        ("a/b", "iotgw/fake/a%2Fb/reports"),
        ("a%2Fb", "iotgw/fake/a%252Fb/reports"),
        ("#", "iotgw/fake/%23/reports"),
        ("+", "iotgw/fake/%2B/reports"),
        ("a\0b\n", "iotgw/fake/a%00b%0A/reports"),
        ("{source}", "iotgw/fake/%7Bsource%7D/reports"),
        ("京A12345", "iotgw/fake/%E4%BA%ACA12345/reports"),
        ("", "iotgw/fake/-/reports"),
    ],
)
def test_an_identity_is_one_level_whatever_it_is(identity: str, topic: str) -> None:
    assert topic_of(TEMPLATE, notice(identity=identity)) == topic


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"topic": "iotgw/+/x"}, "no topic to write to"),
        ({"topic": "#"}, "no topic to write to"),
        ({"topic": "$SYS/x"}, "no topic to write to"),
        ({"topic": ""}, "no topic to write to"),
        ({"topic": "{identity.__class__}"}, "is no part of a topic"),
        ({"topic": "{}"}, "is no part of a topic"),
        ({"topic": "{identity!r}"}, "is no part of a topic"),
        ({"topic": "{identity"}, "give levels"),
        ({"version": "4"}, "version: input should be '5' or '3.1.1'"),
        ({"password_file": "/x"}, "a password needs a user"),
        ({"password": "x"}, "password: there is no such option"),
    ],
)
def test_options_that_will_not_do_are_said(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(KindError, match=fault):
        checked_options(MQTT, "mqtt://example.com", options)


@pytest.mark.parametrize(
    "address", ["example.com", "http://example.com", "mqtt://", "mqtt://u:p@example.com", "mqtt://example.com/topic", "mqtt://x:0"]
)
def test_an_address_that_will_not_do_is_said(address: str) -> None:
    with pytest.raises(KindError, match=r"mqtts://broker\.example\.com"):
        checked_options(MQTT, address, {})


def test_no_thread_is_left(broker: Broker) -> None:
    broker.start()
    before = set(threading.enumerate())
    target = broker.target()
    target.open()
    target.send([notice()])
    target.close()
    assert set(threading.enumerate()) == before
