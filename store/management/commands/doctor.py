from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from settings.load import load_or_exit
from store.condition import examine
from store.management.data_command import json_line


class Command(BaseCommand):
    help = "Print what condition the database is in, one JSON object a line: the part of iotgw doctor that needs its driver."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        for finding in examine(load_or_exit()):
            # At once: whoever has asked does not wait for ever, and reads what there is.
            self.stdout.write(json_line(finding._asdict()))
            self.stdout.flush()
