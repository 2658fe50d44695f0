"""The database, looked at by a process of its own: here is no driver of it, and its waiting can be ended."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping

from iotgw.commands import ENVIRONMENT, command_line
from protocols import DeviceProtocol
from settings import Settings
from settings.findings import Finding, State

ANSWER_SECONDS = 11.0
"""A second or two to start, five to connect, three for a statement."""
UNUSABLE_SETTINGS = 2
"""The exit status of every part of ours that has such."""


def examine_database(_: Settings, __: Mapping[str, DeviceProtocol], seconds: float = ANSWER_SECONDS) -> Iterator[Finding]:
    environment = {**os.environ, **ENVIRONMENT}
    try:
        done = subprocess.run(command_line("doctor"), env=environment, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        yield from _findings(error.stdout or b"")
        yield Finding(
            "database", State.FAULT, f"does not answer within {seconds:g} s", "look after it: is it overloaded, or locked?"
        )
        return
    yield from _findings(done.stdout)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        no_driver = "is its driver installed here? On a host with gateways only: iotgw doctor --without database"
        do = "mend the setting" if done.returncode == UNUSABLE_SETTINGS else no_driver
        yield Finding("database", State.FAULT, said or f"ended with status {done.returncode}", do)


def _findings(output: bytes) -> Iterator[Finding]:
    """Of whole lines: the last may be cut off."""
    for line in output.split(b"\n")[:-1]:
        told = json.loads(line)
        yield Finding(told["check"], State(told["state"]), told["found"], told["do"])
