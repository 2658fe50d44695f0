from __future__ import annotations

import logging
import os
import signal
from typing import Any

from django.core.management.base import CommandParser

from settings.load import load
from settings.logs import configure
from store.management.data_command import DataCommand
from tasks.forward.forwarder import Forwarder

CHATTY = ("httpx", "httpcore", "asyncio")
"""They tell of every request."""


class Command(DataCommand):
    help = (
        "Send what is stored on to the targets that targets lists, until it is stopped. iotgw up runs it; several may run, on "
        "several hosts, and share the targets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """None: what it does is said by the targets."""

    def handle(self, *args: Any, **options: Any) -> None:
        configure(load())
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        forwarder = Forwarder()
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda *_: forwarder.stop())
        if not forwarder.run():
            # A thread that waits for somebody who does not answer is not waited for.
            logging.shutdown()
            os._exit(0)
