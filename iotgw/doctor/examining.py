"""Looking at all areas at once, for a bounded time.

settings ── ok ──▶ host, disk, redis, broker, database    a thread each, which nobody waits for longer than AREA_SECONDS
         └─ fault ▶ the others are skipped
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from iotgw.doctor.broker import examine_broker
from iotgw.doctor.database import examine_database
from iotgw.doctor.disk import examine_disk
from iotgw.doctor.host import examine_host
from iotgw.doctor.redisserver import examine_redis
from iotgw.listeners import Listeners
from iotgw.service import usable_protocols
from protocols import DeviceProtocol
from settings import Settings, SettingsError
from settings.findings import Finding, State, first_line

AREA_SECONDS = 12.0
"""More than what any area's own time limits come to: this one is for what has none, such as a name server that is away."""

Area = Callable[[Settings, Mapping[str, DeviceProtocol]], Iterator[Finding]]

AREAS: dict[str, Area] = {
    "host": examine_host,
    "disk": examine_disk,
    "redis": examine_redis,
    "broker": examine_broker,
    "database": examine_database,
}


def examine(load: Callable[[], Settings], without: Collection[str] = ()) -> list[Finding]:
    """All findings, in the areas' order."""
    wanted = [name for name in AREAS if name not in without]
    try:
        settings = load()
        protocols = usable_protocols(settings)
        _try_listeners(settings, protocols)
    except SettingsError as error:
        faults = [
            Finding("settings", State.FAULT, line, "mend it; iotgw settings lists what there is")
            for line in str(error).splitlines()
        ]
        return [*faults, *(Finding(name, State.SKIPPED, "waits for settings") for name in wanted)]
    found = f"can be used; var is {settings.var.absolute()}"
    return [Finding("settings", State.OK, found), *examine_areas([(name, AREAS[name]) for name in wanted], settings, protocols)]


def examine_areas(
    areas: Collection[tuple[str, Area]], settings: Settings, protocols: Mapping[str, DeviceProtocol], seconds: float = AREA_SECONDS
) -> Iterator[Finding]:
    """What each area tells within so many seconds, and of one that has not ended by then, that it has not."""
    looks = [_Look(name, area, settings, protocols) for name, area in areas]
    deadline = time.monotonic() + seconds
    for look in looks:
        yield from look.until(deadline)


class _Look:
    """One area, looked at by a thread that the process does not wait for at its end."""

    def __init__(self, name: str, area: Area, *given: Any) -> None:
        self._name, self._area, self._given = name, area, given
        self._findings: list[Finding] = []
        self._thread = threading.Thread(target=self._run, name=f"doctor {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for finding in self._area(*self._given):
                self._findings.append(finding)
        except Exception as error:
            self._findings.append(Finding(self._name, State.FAULT, first_line(error), "report it: this check has failed"))

    def until(self, deadline: float) -> list[Finding]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        findings = list(self._findings)
        if self._thread.is_alive():
            do = "see that its host can be reached and its name be resolved, and that no disk hangs"
            findings.append(Finding(self._name, State.FAULT, "does not answer in time", do))
        return findings


def _try_listeners(settings: Settings, protocols: Mapping[str, DeviceProtocol]) -> None:
    """Raises: SettingsError when an endpoint or a certificate cannot be used."""
    from twisted.internet import reactor  # to have one is to have opened its descriptors

    Listeners(settings, protocols, reactor)
