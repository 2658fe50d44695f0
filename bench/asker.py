"""Asks for commands in the way of ``iotgw command``: one device after another at a steady rate, or all in one run.

python -m bench.asker steady --commands 2000 --devices 1000 --rate 20
python -m bench.asker run --commands 10000 --devices 1000

It prints the seconds of processor time that it took, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from itertools import islice

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store.settings")

import django

django.setup()

from django.db import transaction  # noqa: E402

from protocols.jt808 import JT808  # noqa: E402
from store.audit import Actor  # noqa: E402
from store.commands import asking  # noqa: E402
from store.commands.asking import EFFECTS, Request, Terms  # noqa: E402
from store.models import Device  # noqa: E402
from tasks.celery import protocols, settings  # noqa: E402
from tasks.commands import announce  # noqa: E402

NAME = "query_location"
"""Which simulated terminals answer at once, by the number of the question."""
PACE = 1_000_000.0
"""Devices a second: more than anybody keeps up with."""
AT_ONCE = 200
"""As ``iotgw command --group`` has it."""
ACTOR = Actor("bench")


def steady(identities: list[str], commands: int, rate: float) -> None:
    """Each when it is due, or at once if it is late, so that a slow moment is made up for."""
    terms, began = Terms(protocols, settings.commands_per_minute), time.monotonic()
    for number in range(commands):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        request = Request(JT808.name, identities[number % len(identities)], NAME, {})
        announce([asking.ask(request, terms, ACTOR, frozenset(EFFECTS), datetime.now(UTC)).id])


def run(devices: list[int], commands: int) -> None:
    terms, request = Terms(protocols, settings.commands_per_minute), Request(JT808.name, "", NAME, {})
    begun = asking.begin_run(NAME, "bench", PACE, ACTOR, datetime.now(UTC))
    everybody = (devices[number % len(devices)] for number in range(commands))
    asked = 0
    while some := list(islice(everybody, min(AT_ONCE, len(devices)))):
        with transaction.atomic():
            made, refused = asking.ask_in_run(begun, request, some, asked, terms, ACTOR, frozenset(EFFECTS))
        assert not refused, refused[0]
        asked += len(made)
        announce([row.id for row in made])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("steady", "run"))
    parser.add_argument("--commands", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True, help="the first so many of the database")
    parser.add_argument("--rate", type=float, default=20.0, help="commands a second")
    given = parser.parse_args()
    devices = list(Device.objects.filter(protocol=JT808.name).order_by("id")[: given.devices])
    began = time.process_time()
    if given.way == "steady":
        steady([device.identity for device in devices], given.commands, given.rate)
    else:
        run([device.id for device in devices], given.commands)
    print(json.dumps(time.process_time() - began))


if __name__ == "__main__":
    main()
