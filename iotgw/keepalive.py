"""Noticing that the other end of a link is gone without having said so.

A device that loses its power or its radio closes nothing. The kernel asks after a silent peer, and gives a link up
if nothing comes back, neither to that nor to bytes that were written to it: so links may be silent for as long as
their protocol likes, and dead ones go all the same.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Protocol

LONGEST_MS = 0x7FFFFFFF
"""What the kernel takes, some 25 days."""


class KeepAliveSettings(Protocol):
    @property
    def keep_alive_idle_seconds(self) -> int: ...
    @property
    def keep_alive_interval_seconds(self) -> int: ...
    @property
    def keep_alive_probes(self) -> int: ...


def keep_alive(transport: Any, settings: KeepAliveSettings) -> None:
    """Have the kernel watch a link's peer. What is no TCP connection is left as it is."""
    idle, interval, probes = settings.keep_alive_idle_seconds, settings.keep_alive_interval_seconds, settings.keep_alive_probes
    handle = socket_of(transport)
    if idle == 0 or handle is None or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", idle),
            ("TCP_KEEPINTVL", interval),
            ("TCP_KEEPCNT", probes),
            # For bytes that nobody confirms, which is otherwise some 15 minutes. Linux lets it overrule the number of
            # probes, so that it has to be what idle, interval and probes come to.
            ("TCP_USER_TIMEOUT", min((idle + interval * probes) * 1000, LONGEST_MS)),
        ):
            # Not every system has every one of them.
            if (number := getattr(socket, option, None)) is not None:
                handle.setsockopt(socket.IPPROTO_TCP, number, value)
    except OSError:
        # The peer has gone already; the reactor is about to say so.
        return


def send_at_once(transport: Any) -> None:
    """Have the kernel send what is written without waiting for more (TCP_NODELAY): an ack is small, and alone."""
    handle = socket_of(transport)
    if handle is not None:
        # What is no TCP connection has no such option, and needs none.
        with suppress(OSError):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def socket_of(transport: Any) -> socket.socket | None:
    """The socket below a transport and what is wrapped around it, such as TLS; None for one that has none."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    handle = getattr(transport, "socket", None)
    return handle if isinstance(handle, socket.socket) else None
