from __future__ import annotations

import pytest

from protocols.registry import PROTOCOLS, RegistryError, registered


def test_all_have_names_and_ports_of_their_own() -> None:
    assert all(protocol.name == name for name, protocol in PROTOCOLS.items())
    assert len({protocol.port for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)


def test_without_options_they_are_as_they_are() -> None:
    assert {name: registered()[name] for name in PROTOCOLS} == PROTOCOLS


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_an_option_that_is_none_is_refused(protocol) -> None:
    with pytest.raises(RegistryError, match=rf"^protocols\.{protocol.name}\.no_such_option\b"):
        registered({protocol.name: {"no_such_option": "x"}})


def test_options_for_no_protocol_are_refused() -> None:
    with pytest.raises(RegistryError, match=r"^protocols\.jt809: there is no such protocol: use one of .*jt808"):
        registered({"jt809": {}})


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_simulated_devices_have_identities_of_their_own(protocol) -> None:
    identities = [protocol.simulated_identity(number) for number in (0, 1, 9, 10, 99_999)]
    assert len(set(identities)) == len(identities)
    for identity in identities:
        assert protocol.terminal(identity).identity == identity
