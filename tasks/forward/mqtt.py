"""Notices as MQTT messages, each on its device's topic.

    CONNECT ──▶ ◀── CONNACK
    PUBLISH, QoS 1 ──▶ ◀── PUBACK     taken, when all of them are there

In MQTT 5, the default, a PUBACK says whether the broker takes the message; in 3.1.1 a broker that does not want one has no way
to say so. Each connection begins anew, without a session: what is sent again is the cursor's matter.
"""

from __future__ import annotations

import ssl
import threading
import time
import uuid
from collections.abc import Sequence
from string import Formatter
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.forward.address import AddressForm
from tasks.forward.credentials import AbsolutePath, secret_lines
from tasks.forward.target import Notice, RefusedError, TargetKind, TryAgainError

PORTS = {"mqtt": 1883, "mqtts": 8883}
ADDRESS = AddressForm("address of a broker", PORTS, "mqtts://broker.example.com:8883")
PARTS = ("protocol", "identity", "source", "kind")
"""What a topic may be made of."""
MOST_IN_FLIGHT = 100
"""Messages without a PUBACK; fewer where the broker says so. A round trip for each hundred is little beside what each costs."""
REFUSED = frozenset({0x90, 0x99})
"""Reasons that are about a message: its topic's name, its payload's form. Others, such as a missing right, somebody will mend."""
LONGEST_TOPIC_BYTES = 65_535
PACKET_BYTES = 16
"""Of a packet beside topic and payload, and more than it can be."""

Seconds = Annotated[float, Field(gt=0, le=300)]


class MQTTOptions(BaseModel):
    """What may be set for a broker."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = "iotgw/{protocol}/{identity}/{source}"
    version: Literal["5", "3.1.1"] = "5"
    user: str | None = None
    password_file: AbsolutePath | None = None
    """A file with the user's password in its first line."""
    password_variable: str | None = None
    """The environment variable that holds it instead."""
    ca_file: AbsolutePath | None = None
    """PEM file of authorities; without it the system's."""
    keep_alive_seconds: Annotated[int, Field(ge=5, le=3_600)] = 60
    connect_seconds: Seconds = 5.0
    total_seconds: Seconds = 60.0
    batch_notices: Annotated[int, Field(ge=1, le=5_000)] = 500
    batch_bytes: Annotated[int, Field(ge=1_024, le=1 << 24)] = 1 << 20

    @field_validator("topic")
    @classmethod
    def _check_topic(cls, value: str) -> str:
        hint = f"give levels with / between them, of {', '.join('{' + part + '}' for part in PARTS)} and words of your own"
        try:
            parts = list(Formatter().parse(value))
        except ValueError as error:
            raise ValueError(f"{error}: {hint}") from error
        for _, name, form, conversion in parts:
            if name is not None and (name not in PARTS or form or conversion):
                raise ValueError(f"{{{name}}} is no part of a topic: {hint}")
        words = "".join(literal for literal, *_ in parts)
        if not value or value.startswith(("$", "/")) or not words.isprintable() or any(c in words for c in "+#"):
            raise ValueError(f"{value!r} is no topic to write to: {hint}")
        return value

    @model_validator(mode="after")
    def _check_password(self) -> Self:
        if self.password_file and self.password_variable:
            raise ValueError("password_file and password_variable are both set: keep one")
        if (self.password_file or self.password_variable) and not self.user:
            raise ValueError("a password needs a user")
        return self


def check_address(address: str) -> None:
    """Raises: ValueError"""
    parts = ADDRESS.parts(address)
    if parts.username is not None:
        raise ADDRESS.fault("user and password do not belong into it, they are options")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ADDRESS.fault("there is nothing behind the port, the topic is an option")


def topic_of(template: str, notice: Notice) -> str:
    """Where a notice goes.

    What a device calls itself can neither add a level nor be a wildcard: such characters become %2F and the like.
    """
    named = {part: quote(getattr(notice, part), safe=" !'()*,:;=@~") or "-" for part in PARTS}
    return template.format(**named)


class MQTTTarget:
    """A broker, and what it has confirmed."""

    def __init__(self, address: str, options: MQTTOptions) -> None:
        parts = urlsplit(address)
        self._is_tls = parts.scheme == "mqtts"
        self._host, self._port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        self._options = options
        self._client: Client | None = None
        self._change = threading.Condition()
        # These are changed by the client's own thread, under the condition.
        self._is_connected = False
        self._fault = ""
        self._acks: dict[int, Any] = {}
        self._window, self._longest_packet = MOST_IN_FLIGHT, 0
        self.most_notices = options.batch_notices
        self.most_bytes = options.batch_bytes

    def open(self) -> None:
        self._is_connected, self._fault, self._acks = False, "", {}
        client = self._client = self._made()
        try:
            client.connect(self._host, self._port, self._options.keep_alive_seconds)
        except (OSError, ValueError) as error:
            raise TryAgainError(f"{type(error).__name__}: {error}") from error
        client.loop_start()
        if not self._wait(lambda: self._is_connected, time.monotonic() + self._options.connect_seconds):
            raise TryAgainError(f"no answer to CONNECT within {self._options.connect_seconds:g} s")

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def send(self, notices: Sequence[Notice]) -> None:
        assert self._client is not None
        deadline = time.monotonic() + self._options.total_seconds
        self._acks = {}
        refused: dict[str, str] = {}
        sent: dict[int, str] = {}
        for notice in notices:
            topic = topic_of(self._options.topic, notice)
            if fault := self._unfit(topic, notice):
                refused[notice.id] = fault
                continue
            self._await(lambda: len(sent) - len(self._acks) < self._window, deadline)
            info = self._client.publish(topic, notice.body, qos=1)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise TryAgainError(self._fault or f"not sent: {info.rc.name}")
            sent[info.mid] = notice.id
        self._await(lambda: len(self._acks) >= len(sent), deadline)
        for mid, reason in self._acks.items():
            if reason.is_failure:
                if reason.value not in REFUSED:
                    raise TryAgainError(f"broker does not take it: {reason}")
                refused[sent[mid]] = f"broker does not take it: {reason}"
        if refused:
            raise RefusedError(list(refused), next(iter(refused.values())))

    def _made(self) -> Client:
        options = self._options
        client = Client(
            CallbackAPIVersion.VERSION2,
            # One of its own each time: a second connection under one name would have the broker close the first.
            client_id=f"iotgw-{uuid.uuid4().hex[:12]}",
            protocol=MQTTProtocolVersion.MQTTv5 if options.version == "5" else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = options.connect_seconds
        client.max_inflight_messages = MOST_IN_FLIGHT
        client.on_connect, client.on_disconnect, client.on_publish = self._connected, self._disconnected, self._published
        if options.user:
            lines = secret_lines(options.password_file, options.password_variable)
            client.username_pw_set(options.user, lines[0] if lines else None)
        if self._is_tls:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=options.ca_file))
            except OSError as error:
                raise TryAgainError(f"{options.ca_file} cannot be read as PEM ({error.strerror})") from error
        return client

    def _unfit(self, topic: str, notice: Notice) -> str:
        """Why a broker would end the connection over this notice, and over all that are behind it; empty if it would not."""
        size = len(topic.encode())
        if size > LONGEST_TOPIC_BYTES:
            return "its topic is longer than MQTT has them"
        if self._longest_packet and size + len(notice.body) + PACKET_BYTES > self._longest_packet:
            return f"longer than the broker takes ({self._longest_packet} bytes)"
        return ""

    def _await(self, is_so: Any, deadline: float) -> None:
        if not self._wait(is_so, deadline):
            raise TryAgainError(f"not confirmed within {self._options.total_seconds:g} s")

    def _wait(self, is_so: Any, deadline: float) -> bool:
        """Raises: TryAgainError if the connection ends meanwhile"""
        with self._change:
            self._change.wait_for(lambda: self._fault or is_so(), deadline - time.monotonic())
            if self._fault:
                raise TryAgainError(self._fault)
            return bool(is_so())

    def _connected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._change:
            if reason.is_failure:
                self._fault = f"broker refuses the connection: {reason}"
            self._is_connected = not reason.is_failure
            self._window = min(MOST_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MOST_IN_FLIGHT))
            self._longest_packet = getattr(properties, "MaximumPacketSize", 0)
            self._change.notify_all()

    def _disconnected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._change:
            self._fault = self._fault or f"connection lost: {reason}"
            self._change.notify_all()

    def _published(self, client: Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._change:
            self._acks[mid] = reason
            self._change.notify_all()


MQTT = TargetKind("mqtt", MQTTOptions, check_address, MQTTTarget)
