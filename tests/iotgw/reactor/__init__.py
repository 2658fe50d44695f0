"""What happens on a connection, told by a reactor's own protocols and bytes: ``python -m tests.iotgw.reactor ours``.

Each scenario plays the server on the reactor and the peer on a plain socket, turn by turn in one thread, and gives back
what a protocol or a peer noticed. A process has one reactor, so the test runs this once for each and compares.
"""

from tests.iotgw.reactor import ends, producers, tls, writes

SCENARIOS = (*writes.SCENARIOS, *ends.SCENARIOS, *producers.SCENARIOS, *tls.SCENARIOS)

__all__ = ["SCENARIOS"]
