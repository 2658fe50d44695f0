"""A gateway that may have few open files, on its real reactor: ``python -m tests.iotgw.few_descriptors``.

Prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import os
import resource

from twisted.internet.protocol import Protocol

from iotgw import reactor

FREE = 20
"""Descriptors that are left for connections."""


def main() -> None:
    reactor.install()
    from twisted.internet import reactor as installed
    from twisted.internet.defer import succeed
    from twisted.internet.stdio import StandardIO

    from iotgw.accepting import LinkFactory
    from iotgw.gateway import Gateway
    from settings import Settings
    from tests.iotgw.fakes import AskingProtocol

    gateway = Gateway(Settings(), installed, lambda batch: succeed(None))
    gateway.start()
    port = installed.listenTCP(0, LinkFactory(gateway, AskingProtocol()), interface="127.0.0.1")

    class Input(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            installed.stop()

    StandardIO(Input())
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + FREE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    installed.callWhenRunning(lambda: print(port.getHost().port, flush=True))
    installed.run()
    print(gateway.statistics["links.opened"], gateway.links, flush=True)


if __name__ == "__main__":
    main()
