"""Simulated JT/T 808 devices that do what they are told, keep silent about some of it, or refuse some, on links that are cut.

python -m bench.commandfleet --port 6808 --ledger acked.jsonl --executed done.jsonl [--devices 40] [--first-device 0] ...

Of five devices one keeps silent about text messages and parameters, though it obeys, and one refuses information. Ends as
``iotgw simulate`` does, after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from iotgw.simulator import FleetPlan
from iotgw.simulator.run import run
from protocols.jt808.information import INFORMATION, TEXT_MESSAGE
from protocols.jt808.protocol import JT808Protocol
from protocols.jt808.terminal import JT808Terminal
from protocols.jt808.terminal_management import SET_PARAMETERS

SORTS = 5
SILENT, REFUSING = 1, 2


class MixedProtocol(JT808Protocol):
    """JT/T 808 with devices of several minds, by the last of their numbers."""

    def terminal(self, identity: str) -> JT808Terminal:
        terminal = super().terminal(identity)
        sort = int(identity) % SORTS
        if sort == SILENT:
            terminal.orders.silent |= {TEXT_MESSAGE, SET_PARAMETERS}
        elif sort == REFUSING:
            terminal.orders.unsupported |= {INFORMATION}
        return terminal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--executed", type=Path, required=True)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--first-device", type=int, default=0)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between a device's reports")
    parser.add_argument("--cuts", type=float, default=0.5, help="links that are cut, a second")
    arguments = parser.parse_args()
    plan = FleetPlan(
        protocol=MixedProtocol(),
        host="127.0.0.1",
        port=arguments.port,
        devices=arguments.devices,
        interval_seconds=arguments.interval,
        duration_seconds=86_400,
        settle_seconds=120,
        resend_seconds=30,
        first_device=arguments.first_device,
        reconnects_per_second=arguments.cuts,
    )
    sys.exit(1 if run(plan, arguments.ledger, arguments.executed) else 0)


if __name__ == "__main__":
    main()
