"""Room for what a gateway keeps."""

from __future__ import annotations

from pathlib import Path

from iotgw.doctor.disk import examine_disk
from settings import Settings
from settings.findings import Finding, State


def test_a_spool_that_finds_no_room_for_its_size_is_a_warning_beside_what_it_has(tmp_path: Path) -> None:
    def look(bytes: int) -> Finding:
        return {finding.check: finding for finding in examine_disk(Settings(var=tmp_path, gateway_id="gw", spool_bytes=bytes), {})}[
            "spool folder"
        ]

    most = 1 << 42
    assert (look(most).state, "spool_bytes" in look(most).do) == (State.WARNING, True)
    (tmp_path / "spool-gw").mkdir()
    with (tmp_path / "spool-gw/1.spool").open("wb") as file:
        file.truncate(most)
    assert look(most).state is State.OK
