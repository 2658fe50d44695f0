"""How connections end: by either side, in both directions or one, gently or not."""

from __future__ import annotations

import socket
from typing import Any

from tests.iotgw.reactor.playing import BIG, HalfCloseable, Peer, Recorder, Scenario, shrink, turn, until


def reset_by_the_peer_then_writes() -> Any:
    peer = Peer()
    peer.reset()
    for _ in range(3):
        peer.protocol.write(b"x")
    before = list(peer.events)
    peer.until_lost()
    return peer.told(before)


def reset_while_data_waits() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    turn(3)
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_after_the_peer_said_something() -> Any:
    peer = Peer()
    peer.socket.send(b"bye")
    peer.reset()
    peer.protocol.write(b"x")
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_while_not_read_from() -> Any:
    peer = Peer()
    peer.transport.pauseProducing()
    turn()
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_of_one_that_can_be_half_closed() -> Any:
    peer = Peer(HalfCloseable)
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_with_a_producer() -> Any:
    peer = Peer(made=lambda protocol: protocol.transport.registerProducer(protocol, True))
    peer.reset()
    peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def reset_then_written_to_by_what_is_received() -> Any:
    peer = Peer(data=lambda protocol, data: [protocol.write(b"ack") for _ in range(3)])
    peer.socket.send(b"frame")
    peer.reset()
    peer.until_lost()
    return peer.told()


def closed_by_the_peer_then_writes() -> Any:
    peer = Peer()
    peer.socket.close()
    for _ in range(3):
        peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def half_closed_by_the_peer() -> Any:
    peer = Peer(HalfCloseable)
    peer.socket.send(b"all")
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost"))
    peer.protocol.write(b"answer ")
    turn(3)
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def half_closed_by_us() -> Any:
    peer = Peer(HalfCloseable, made=shrink)
    peer.protocol.write(b"first")
    peer.protocol.write(BIG[:100_000])
    peer.transport.loseWriteConnection()
    peer.protocol.write(b"still")
    peer.read_until(lambda: peer.has("write lost"))
    peer.protocol.write(b"too late")
    peer.transport.writeSequence([b"too", b"late"])
    peer.read_to_end()
    peer.socket.send(b"more from the peer")
    until(lambda: peer.has("data"))
    peer.transport.loseConnection()
    return peer.told()


def half_closed_by_us_with_nothing_left() -> Any:
    peer = Peer(HalfCloseable)
    peer.protocol.write(b"all")
    peer.transport.loseWriteConnection()
    peer.read_to_end()
    peer.socket.send(b"heard")
    until(lambda: peer.has("data"))
    peer.socket.close()
    until(lambda: peer.has("read lost"))
    peer.transport.loseConnection()
    return peer.told()


def half_closed_by_the_peer_then_reset() -> Any:
    peer = Peer(HalfCloseable)
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost"))
    peer.reset()
    for _ in range(3):
        peer.protocol.write(b"x")
    peer.until_lost()
    return peer.told()


def half_closed_by_the_peer_after_a_full_buffer() -> Any:
    peer = Peer(HalfCloseable, made=shrink)
    for _ in range(1000):
        peer.protocol.write(BIG[:100])
    peer.read_until(lambda: len(peer.received) == 100_000)
    peer.socket.shutdown(socket.SHUT_WR)
    until(lambda: peer.has("read lost") or peer.has("lost"))
    peer.protocol.write(b"heard")
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told()


def a_read_with_nothing_to_read() -> Any:
    peer = Peer()
    outcome = str(peer.transport.doRead())
    return peer.told(outcome)


def lose_connection_with_data_left() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.socket.send(b"not read any more")
    peer.read_until(lambda: len(peer.received) == len(BIG))
    return peer.told()


def write_after_lose_connection() -> Any:
    peer = Peer()
    peer.protocol.write(b"before ")
    peer.transport.loseConnection()
    peer.protocol.write(b"after")
    peer.read_to_end()
    peer.protocol.write(b"long after")
    return peer.told()


def abort_with_data_left() -> Any:
    peer = Peer(made=shrink)
    peer.protocol.write(BIG)
    turn(2)
    peer.transport.abortConnection()
    peer.transport.abortConnection()
    before = list(peer.events)
    peer.until_lost()
    peer.read_until(lambda: peer.end)
    return [peer.events, before, peer.end, len(peer.received) < len(BIG)]


def write_after_abort() -> Any:
    peer = Peer()
    peer.transport.abortConnection()
    peer.protocol.write(b"never sent")
    peer.transport.writeSequence([b"nor", b"this"])
    peer.read()
    peer.until_lost()
    peer.protocol.write(b"nor this")
    peer.read_to_end()
    return peer.told()


def abort_after_a_reset() -> Any:
    peer = Peer()
    peer.reset()
    peer.protocol.write(b"x")
    peer.transport.abortConnection()
    peer.until_lost()
    return peer.told()


def close_from_what_is_received() -> Any:
    peer = Peer(data=lambda protocol, data: [protocol.write(b"bye"), protocol.transport.loseConnection(), protocol.write(b"!")])
    peer.socket.send(b"one")
    peer.read_to_end()
    return peer.told()


def a_protocol_that_raises() -> Any:
    def fail(protocol: Recorder, *_: object) -> None:
        raise ZeroDivisionError

    first, second, third = Peer(lost=fail), Peer(data=fail), Peer(data=lambda protocol, data: protocol.write(data))
    first.socket.close()
    second.socket.send(b"x")
    third.socket.send(b"x")
    until(lambda: (third.read(), third.received, first.has("lost"), second.has("lost"))[1:] == (b"x", True, True))
    return [first.told(), second.told(), third.told()]


SCENARIOS: tuple[Scenario, ...] = (
    reset_by_the_peer_then_writes,
    reset_while_data_waits,
    reset_after_the_peer_said_something,
    reset_while_not_read_from,
    reset_of_one_that_can_be_half_closed,
    reset_with_a_producer,
    reset_then_written_to_by_what_is_received,
    closed_by_the_peer_then_writes,
    half_closed_by_the_peer,
    half_closed_by_us,
    half_closed_by_us_with_nothing_left,
    half_closed_by_the_peer_then_reset,
    half_closed_by_the_peer_after_a_full_buffer,
    a_read_with_nothing_to_read,
    lose_connection_with_data_left,
    write_after_lose_connection,
    abort_with_data_left,
    write_after_abort,
    abort_after_a_reset,
    close_from_what_is_received,
    a_protocol_that_raises,
)
