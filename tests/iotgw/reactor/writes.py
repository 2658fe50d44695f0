"""What is written, and in which pieces it leaves."""

from __future__ import annotations

import socket
from typing import Any

from tests.iotgw.reactor.playing import BIG, Peer, Scenario, shrink, turn


def partial_writes_to_a_slow_reader() -> Any:
    peer = Peer(made=shrink)
    for number in range(20):
        peer.protocol.write(bytes([number]) * 7000)
    turn(3)
    peer.read_until(lambda: len(peer.received) == 140_000, 1500)
    peer.protocol.write(b"last")
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def writes_larger_than_any_buffer() -> Any:
    peer = Peer()
    for data in (b"before", BIG, b"between", BIG[:300_000], b"after"):
        peer.protocol.write(data)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def many_writes_in_a_row_with_turns_between() -> Any:
    peer = Peer(made=shrink)
    for number in range(300):
        peer.protocol.write(b"%d," % number * 40)
        turn()
        if number % 3 == 0:
            peer.read(900)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def sequences_and_odd_data() -> Any:
    peer = Peer()
    errors = []
    for data in ("text", bytearray(b"array"), memoryview(b"view"), None, 5):
        try:
            peer.transport.write(data)
        except TypeError as error:
            errors.append(str(error))
    for sequence in ([], [b""], [b"a", b"b"], (b"c",), [b"", b"d"]):
        peer.transport.writeSequence(sequence)
        peer.protocol.write(b"-")
        peer.protocol.write(b"")
    try:
        peer.transport.writeSequence([b"e", "f"])
    except TypeError as error:
        errors.append(str(error))
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(errors)


def writes_from_every_callback() -> Any:
    peer = Peer(
        made=lambda protocol: [protocol.write(b"hello "), protocol.write(b"there ")],
        data=lambda protocol, data: [protocol.write(data), protocol.write(b"! "), protocol.transport.writeSequence([b"1", b"2"])],
        lost=lambda protocol, reason: protocol.write(b"nobody hears it"),
    )
    peer.socket.send(b"one")
    peer.read_until(lambda: peer.received.endswith(b"12"))
    peer.socket.shutdown(socket.SHUT_WR)
    peer.until_lost()
    return peer.told()


SCENARIOS: tuple[Scenario, ...] = (
    partial_writes_to_a_slow_reader,
    writes_larger_than_any_buffer,
    many_writes_in_a_row_with_turns_between,
    sequences_and_odd_data,
    writes_from_every_callback,
)
