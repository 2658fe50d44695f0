"""A subscriber to MQTT, in this process."""

from __future__ import annotations

import json
import threading
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.processes import wait_until


class Listener:
    """Takes everything below a topic, with or without a session that outlives its connection."""

    def __init__(self, port: int, topic: str = "#", qos: int = 1, session: str = "", user: str = "", password: str = "") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._topic, self._qos = topic, qos
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=session,
            clean_session=not session,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect, self._client.on_subscribe, self._client.on_message = self._connected, self._granted, self._came
        self._client.reconnect_delay_set(0.02, 0.2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._subscribed.is_set, "the subscription is granted")

    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in list(self.messages)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not flags.session_present:
            client.subscribe(self._topic, self._qos)

    def _granted(self, *_: Any) -> None:
        self._subscribed.set()

    def _came(self, client: Client, userdata: Any, message: Any) -> None:
        self.messages.append((message.topic, message.payload))
