"""Play all scenarios on a reactor, ``stock`` or ``ours``, and write what they come to."""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import epollreactor
from twisted.python import log

from iotgw import reactor
from tests.iotgw.reactor import SCENARIOS, ports


def main(name: str) -> None:
    told: dict[str, Any] = {}
    for scenario in SCENARIOS + (ports.SCENARIOS if name == "ours" else ()):
        faults: list[str] = []

        def observe(event: Any, faults: list[str] = faults) -> None:
            if event.get("isError"):
                faults.append(event["failure"].type.__name__)

        log.addObserver(observe)
        try:
            told[scenario.__name__] = {"told": scenario(), "logged": faults}
        except Exception as error:
            told[scenario.__name__] = f"{type(error).__name__}: {error} ({name})"
        log.removeObserver(observe)
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    {"stock": epollreactor.install, "ours": reactor.install}[sys.argv[1]]()
    main(sys.argv[1])
