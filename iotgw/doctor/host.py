"""What the kernel lets a gateway have: open files, links that wait to be accepted, ports."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from iotgw.listeners import BACKLOG, endpoints_of
from iotgw.service import OTHER_FILES
from protocols import DeviceProtocol
from settings import Settings
from settings.findings import Finding, Verdict, finding, ok, skipped, warning

PROC = Path("/proc/sys/net")
_PORT = re.compile(r"(?:tcp|tls|ssl)6?:(?:port=)?(\d+)")
_BACKLOG = re.compile(r":backlog=(\d+)")


class Host(NamedTuple):
    """What is asked of this host, and where it tells what it has."""

    settings: Settings
    endpoints: list[str]
    proc: Path

    def told(self, name: str) -> str:
        return (self.proc / name).read_text().strip()


def examine_host(settings: Settings, protocols: Mapping[str, DeviceProtocol], proc: Path = PROC) -> Iterator[Finding]:
    host = Host(settings, [text for _, text in endpoints_of(settings, protocols)], proc)
    checks: dict[str, Callable[[Host], Verdict]] = {"open files": _files, "links to accept": _backlog, "ports": _ports}
    for name, check in checks.items():
        yield finding(name, check, host)


def _files(host: Host) -> Verdict:
    """A gateway raises its limit as far as it may."""
    most, wanted = resource.getrlimit(resource.RLIMIT_NOFILE)[1], host.settings.max_links + OTHER_FILES
    if most != resource.RLIM_INFINITY and most < wanted:
        do = "raise the limit of the gateway's service (LimitNOFILE, ulimit -Hn), or lower max_links"
        return warning(f"{most} may be had here, max_links needs {wanted}", do)
    return ok(f"{'any number' if most == resource.RLIM_INFINITY else most} may be had here, max_links needs {wanted}")


def _backlog(host: Host) -> Verdict:
    asked = max((int(found[1]) if (found := _BACKLOG.search(text)) else BACKLOG for text in host.endpoints), default=0)
    try:
        queue, half_open, has_cookies = (
            int(host.told(name)) for name in ("core/somaxconn", "ipv4/tcp_max_syn_backlog", "ipv4/tcp_syncookies")
        )
    except FileNotFoundError:
        return skipped("this system does not tell")
    if queue < asked:
        return warning(
            f"{queue} may wait, listeners ask for {asked}", f"sysctl net.core.somaxconn={asked}, and the same in /etc/sysctl.d"
        )
    if half_open < asked and not has_cookies:
        do = f"sysctl net.ipv4.tcp_syncookies=1, or net.ipv4.tcp_max_syn_backlog={asked}, and the same in /etc/sysctl.d"
        return warning(f"{half_open} may be half open, listeners ask for {asked}", do)
    return ok(f"{queue} may wait, listeners ask for {asked}")


def _ports(host: Host) -> Verdict:
    try:
        first, last = map(int, host.told("ipv4/ip_local_port_range").split())
        reserved = host.told("ipv4/ip_local_reserved_ports")
    except FileNotFoundError:
        return skipped("this system does not tell")
    ports = {int(found[1]) for text in host.endpoints if (found := _PORT.search(text))}
    taken = sorted(port for port in ports if first <= port <= last and not _is_among(port, reserved))
    if taken:
        listed = ",".join(filter(None, [reserved, *map(str, taken)]))
        among = f"{', '.join(map(str, taken))}: among those of outgoing connections ({first} to {last}), one of which may hold it"
        return warning(among, f"sysctl net.ipv4.ip_local_reserved_ports={listed}, and the same in /etc/sysctl.d")
    return ok(f"{', '.join(map(str, sorted(ports))) or 'none'}: not among those of outgoing connections")


def _is_among(port: int, reserved: str) -> bool:
    """Whether a port is in a list such as ``8080,9000-9010``."""
    bounds = (part.partition("-") for part in reserved.split(",") if part)
    return any(int(low) <= port <= int(high or low) for low, _, high in bounds)
