"""What the kernel lets a gateway have, and each way in which it is too little."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from iotgw.doctor.host import examine_host
from iotgw.service import OTHER_FILES
from protocols.registry import registered
from settings import Settings
from settings.findings import Finding, State


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for name, text in {
        "core/somaxconn": "4096",
        "ipv4/tcp_max_syn_backlog": "4096",
        "ipv4/tcp_syncookies": "0",
        "ipv4/ip_local_port_range": "32768\t60999",
        "ipv4/ip_local_reserved_ports": "32950-32970,40000",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    return tmp_path


def look(proc: Path, **given: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_host(Settings(**given), registered({}), proc)}


def test_a_host_that_has_what_is_asked_of_it_is_well(proc: Path) -> None:
    found = look(proc, max_links=1)
    assert ({each.state for each in found.values()}) == {State.OK}
    assert "32960" in found["ports"].found


def test_a_short_queue_of_new_links_is_a_warning_with_the_command(proc: Path) -> None:
    (proc / "core/somaxconn").write_text("128")
    assert look(proc)["links to accept"].do.startswith("sysctl net.core.somaxconn=4096")
    (proc / "core/somaxconn").write_text("5000")
    (proc / "ipv4/tcp_max_syn_backlog").write_text("1024")
    assert "tcp_syncookies=1" in look(proc)["links to accept"].do
    (proc / "ipv4/tcp_syncookies").write_text("1")
    assert look(proc)["links to accept"].state is State.OK
    assert look(proc, listen={"jt808": "tcp:6808:backlog=6000"})["links to accept"].state is State.WARNING


def test_a_port_that_outgoing_connections_may_take_is_a_warning_with_the_command(proc: Path) -> None:
    found = look(proc, listen={"jt808": ["haproxy:tls:40001", "tcp6:6808"]})["ports"]
    assert found.state is State.WARNING
    assert "net.ipv4.ip_local_reserved_ports=32950-32970,40000,40001," in found.do


def test_fewer_open_files_than_links_are_a_warning(proc: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY:
        pytest.skip("this machine bounds no open files")
    assert look(proc, max_links=most - OTHER_FILES)["open files"].state is State.OK
    assert look(proc, max_links=most - OTHER_FILES + 1)["open files"].state is State.WARNING


def test_a_system_that_does_not_tell_is_no_fault(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert {found[name].state for name in ("links to accept", "ports")} == {State.SKIPPED}
