"""Producers, which are told to wait while what they wrote has not left."""

from __future__ import annotations

from typing import Any

from tests.iotgw.reactor.playing import BIG, Peer, Recorder, Scenario, shrink, turn, until


def a_push_producer() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(b"little")
    turn(3)
    quiet = list(peer.events)
    peer.protocol.write(BIG)
    paused = list(peer.events)
    peer.protocol.write(b"more")
    peer.read_until(lambda: peer.has("resume"))
    peer.protocol.write(b"little")
    turn(3)
    peer.protocol.write(BIG)
    peer.read_until(lambda: len(peer.received) == 2 * len(BIG) + 16)
    peer.transport.unregisterProducer()
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(quiet, paused)


def a_push_producer_below_the_limit() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG[:65_536])
    first = list(peer.events)
    peer.read_until(lambda: len(peer.received) == 65_536)
    turn(3)
    peer.protocol.write(BIG[:65_537])
    paused = list(peer.events)
    peer.read_until(lambda: len(peer.received) == 131_073)
    peer.transport.unregisterProducer()
    return peer.told(first, paused)


def a_producer_of_its_own_transport() -> Any:
    peer = Peer(
        made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)],
        pause=lambda protocol: protocol.transport.pauseProducing(),
        resume=lambda protocol: protocol.transport.resumeProducing(),
    )
    peer.protocol.write(BIG)
    peer.socket.send(b"said while held")
    turn(5)
    held = list(peer.events)
    peer.read_until(lambda: len(peer.received) == len(BIG))
    until(lambda: peer.has("data"))
    peer.transport.unregisterProducer()
    peer.transport.loseConnection()
    peer.read_to_end()
    return peer.told(held)


def a_producer_that_goes_while_paused() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG)
    peer.transport.unregisterProducer()
    peer.read_until(lambda: len(peer.received) == len(BIG))
    turn(3)
    peer.transport.registerProducer(peer.protocol, True)
    peer.protocol.write(b"little")
    turn(3)
    return peer.told()


def a_producer_and_a_connection_to_lose() -> Any:
    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, True)])
    peer.protocol.write(BIG)
    peer.transport.loseConnection()
    peer.read_until(lambda: peer.has("resume"))
    peer.protocol.write(b"the end")
    turn(3)
    peer.transport.unregisterProducer()
    peer.read_to_end()
    return peer.told()


def a_pull_producer() -> Any:
    left = [b"one ", b"two ", BIG[:200_000], b"four ", b"five"]

    def produce(protocol: Recorder) -> None:
        if left:
            protocol.write(left.pop(0))
        else:
            protocol.transport.unregisterProducer()
            protocol.transport.loseConnection()

    peer = Peer(made=lambda protocol: [shrink(protocol), protocol.transport.registerProducer(protocol, False)], resume=produce)
    peer.read_to_end()
    return peer.told()


SCENARIOS: tuple[Scenario, ...] = (
    a_push_producer,
    a_push_producer_below_the_limit,
    a_producer_of_its_own_transport,
    a_producer_that_goes_while_paused,
    a_producer_and_a_connection_to_lose,
    a_pull_producer,
)
