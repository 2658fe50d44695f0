"""Somebody who asks for commands all the time, whatever is killed meanwhile, and at the end tells what has become of each.

python -m bench.commandasking --told told.jsonl [--rate 20] [--devices 40] [--first-device 0] [--expires 20] [--answer 10]

Each command has a number of its own, which is its key and stands in its text: the device that carries it out shows which it was.
One that could not be asked for because the database is away is asked for again under its number. SIGTERM: ask for no more, wait
until all have ended, write a line of JSON for each. Who runs it sets ``IOTGW_*`` as for a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store.settings")

import django

django.setup()

from django.db import DatabaseError, InterfaceError, transaction  # noqa: E402

from bench.commandverdict import tag_of  # noqa: E402
from protocols.jt808 import JT808  # noqa: E402
from store import queries  # noqa: E402
from store.audit import Actor  # noqa: E402
from store.commands import asking  # noqa: E402
from store.commands.asking import EFFECTS, Request, Terms  # noqa: E402
from store.commands.errors import TooManyError  # noqa: E402
from store.models import Command, CommandStep  # noqa: E402
from tasks.celery import protocols  # noqa: E402
from tasks.commands import announce  # noqa: E402
from tasks.database import database  # noqa: E402

ACTOR = Actor("bench", "")
TERMS = Terms(protocols, 1_000_000)
AGAIN_SECONDS = 0.2
FIELDS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "text_message": lambda tag: {"flags": ["display"], "text": tag},
    "set_parameters": lambda tag: {"parameters": {"main_apn": tag}},
    "information": lambda tag: {"information_type": 1, "content": tag},
    "question": lambda tag: {"flags": [], "question": tag, "answers": [{"answer_id": 1, "content": "yes"}]},
}
"""Kinds of commands, of which parameters may be set twice. A question is answered twice: that it is there, and by its driver."""


class Asker:
    """Asks for one command after another."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        first, devices = arguments.first_device, arguments.devices
        self.identities = [JT808.simulated_identity(number) for number in range(first, first + devices)]
        self.is_over = False
        self._arguments = arguments
        self._asked: dict[int, str] = {}
        """Devices of what was asked for, by number."""

    def stop(self, *_: object) -> None:
        self.is_over = True

    def run(self) -> None:
        insist(lambda: queries.create_devices((JT808.name, identity) for identity in self.identities))
        names = list(FIELDS)
        begun, number = time.monotonic(), 0
        while not self.is_over:
            self._ask(number, names[number % len(names)])
            number += 1
            if number == 1:
                print("asking", flush=True)
            time.sleep(max(0.0, begun + number / self._arguments.rate - time.monotonic()))
        self._wait()
        self._arguments.told.write_text("".join(f"{json.dumps(line)}\n" for line in insist(self._told)))

    def _ask(self, number: int, name: str) -> None:
        identity = random.choice(self.identities)
        fields = FIELDS[name](tag_of(number))
        request = Request(
            JT808.name, identity, name, fields, expires_in=self._arguments.expires, is_confirmed=True, key=str(number)
        )
        try:
            command = insist(lambda: self._ask_once(request))
        except TooManyError:
            return
        self._asked[number] = identity
        announce([command.id])

    def _ask_once(self, request: Request) -> Command:
        with transaction.atomic():
            command = asking.ask(request, TERMS, ACTOR, frozenset(EFFECTS), datetime.now(UTC))
            # A minute for each silence would make this an hour.
            Command.objects.filter(id=command.id).update(answer_seconds=self._arguments.answer)
        return command

    def _wait(self) -> None:
        deadline = time.monotonic() + self._arguments.wait
        open = Command.objects.filter(device__identity__in=self.identities, state__in=Command.OPEN)
        while insist(open.exists) and time.monotonic() < deadline:
            time.sleep(AGAIN_SECONDS)

    def _told(self) -> list[dict[str, Any]]:
        steps: dict[int, list[list[str]]] = {}
        own = CommandStep.objects.filter(command__device__identity__in=self.identities).order_by("id")
        for command, state, cause, text in own.values_list("command_id", "state", "cause", "text"):
            steps.setdefault(command, []).append([state, cause, text])
        rows = Command.objects.filter(device__identity__in=self.identities).select_related("device")
        found = {(row.device.identity, row.key): row for row in rows}
        lines = []
        for number, identity in self._asked.items():
            row = found.get((identity, str(number)))
            line = {"number": number, "identity": identity, "state": "", "steps": []}
            if row is not None:
                line |= {"state": row.state, "reason": row.reason, "tries": row.tries, "is_repeatable": row.is_repeatable}
                line["steps"] = steps.get(row.id, [])
            lines.append(line)
        return lines


def insist(do: Callable[[], Any]) -> Any:
    """Do it as often as it takes until the database is there."""
    while True:
        try:
            with database():
                return do()
        except (DatabaseError, InterfaceError):
            time.sleep(AGAIN_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--told", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="commands a second")
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--first-device", type=int, default=0)
    parser.add_argument("--expires", type=float, default=20.0, help="seconds")
    parser.add_argument("--answer", type=float, default=10.0, help="seconds that a device may take for its answer")
    parser.add_argument("--wait", type=float, default=150.0, help="seconds for all to end, behind the last; what has not is lost")
    asker = Asker(parser.parse_args())
    signal.signal(signal.SIGTERM, asker.stop)
    asker.run()


if __name__ == "__main__":
    main()
