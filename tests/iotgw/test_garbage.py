"""Closed links are freed at once: the gateway's garbage collector runs rarely, and must have nothing to do."""

# ruff: noqa: N802 (Twisted calls these, by these names)

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import weakref
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LINKS = 60


def test_links_are_freed_without_the_collector():
    """In a process of its own, for it needs the gateway's reactor."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.iotgw.test_garbage"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert child.stdout.splitlines()[-1:] == [f"{LINKS} 0"], child.stderr


def main() -> None:
    """Print how many links there were, and how many are left when all are closed, each in another way."""
    from iotgw.reactor import install

    install()
    from twisted.internet import reactor

    from tests.iotgw.fakes import House

    house = House()
    house.gateway.wheel.stop()
    links: list[weakref.ref[object]] = []
    accept = house.accept

    class Factory:
        noisy = False

        def doStart(self) -> None: ...
        def doStop(self) -> None: ...
        def buildProtocol(self, address: object) -> object:
            link = accept("127.0.0.1")
            links.append(weakref.ref(link))
            return link

    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    gc.disable()

    def turn(is_done: object) -> None:
        for _ in range(10_000):
            if is_done():
                return
            reactor.doIteration(0.01)
        raise AssertionError("it never came to that")

    for number in range(LINKS):
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            turn(lambda: house.gateway.links == 1)
            peer.sendall(b"dev%d 1 hello\n" % number)
            turn(lambda: house.gateway.admissions.waiting)
            house.clock.advance(0)
            house.commit()
            assert peer.recv(100)
            if number % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif number % 3 == 1:
                house.gateway.close_links("test")
        turn(lambda: house.gateway.links == 0)
    print(len(links), sum(link() is not None for link in links))


if __name__ == "__main__":
    main()
