"""The tables of what everybody has: right by name, and bounded whatever the names."""

from __future__ import annotations

import sys

import pytest

from iotgw.limits import Addresses, Bans, Offences, Rates, TooManyBansError
from settings import Settings


def addresses(**settings: object) -> Addresses:
    return Addresses(Settings(**settings))


def test_a_bucket_gives_its_burst_and_then_its_rate():
    rates: Rates[str] = Rates(10, 5)
    assert [rates.spend("a", 100.0) <= 100.0 for _ in range(7)] == [True] * 4 + [False] * 3
    assert not rates.has_token("a", 100.1)
    assert rates.has_token("b", 100.0), "everybody has an own one"
    assert rates.has_token("a", 101.0)
    now, spent = 1000.0, 0
    while now < 1010:
        if rates.has_token("a", now):
            rates.spend("a", now)
            spent += 1
        now += 0.01
    assert spent == pytest.approx(5 + 10 * 10, abs=1)


def test_what_a_bucket_says_of_the_next_token_is_true():
    rates: Rates[str] = Rates(4, 2)
    for _ in range(5):
        there = rates.spend("a", 0.0)
    assert not rates.has_token("a", there - 0.01)
    assert rates.has_token("a", there)


def test_a_rate_of_0_has_no_bound():
    rates: Rates[str] = Rates(0, 1)
    assert all(rates.spend("a", 5.0) <= 5.0 for _ in range(10_000))
    assert len(rates) == 0


def test_offences_are_counted_within_a_window():
    offences: Offences[str] = Offences(60)
    assert [offences.count("a", now) for now in (0, 1, 59)] == [1, 2, 3]
    assert offences.count("b", 59) == 1
    assert offences.count("a", 60) == 1, "a new window"


def test_a_million_addresses_leave_tables_as_they_were():
    """Floods: whatever addresses somebody has, what is kept of them is bounded."""
    many = addresses(ban_offences=1, max_bans=1000)
    for number in range(1_000_000):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        # 10,000 new ones a second, who all do wrong.
        now = number / 10_000
        assert many.refusal(address, now) == ""
        many.opened(address)
        many.offended(address, "stranger", now)
        many.closed(address)
    assert len(many) == 0
    assert len(many.bans) == 1000
    assert len(many._opened) <= 65_536
    assert len(many._offences) <= 65_536
    kept = [*many._opened._until, *many._offences._counts, *many.bans.by_name]
    assert sum(map(sys.getsizeof, kept)) < 16 << 20


@pytest.mark.parametrize("table", [Rates(0.001, 1, limit=5000), Offences(1e9, limit=5000)], ids=["rates", "offences"])
def test_names_that_are_all_in_debt_are_bounded_too(table):
    take = table.spend if isinstance(table, Rates) else table.count
    longest = 0
    for number in range(50_000):
        take(str(number), 1.0)
        longest = max(longest, len(table))
    assert 2000 < longest <= 5000


def test_who_pays_its_debts_is_forgotten():
    rates: Rates[int] = Rates(100, 100)
    for number in range(100_000):
        rates.spend(number, number / 1000)
    assert len(rates) <= 1024


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("/run/gateway.sock", ""),
        ("192.0.2.7\0", ""),
        ("::1\0", ""),
        ("192.0.2.7 and more", ""),
    ],
)
def test_an_address_counts_as_its_network(host, key):
    assert addresses().key(host) == key


def test_a_proxy_can_be_set_free():
    assert addresses(unlimited_addresses=["10.0.0.0/8"]).key("10.1.2.3") == ""
    assert addresses(unlimited_addresses=[]).key("127.0.0.1") == "127.0.0.1"


def test_an_address_that_is_none_cannot_be_set_free():
    with pytest.raises(ValueError, match=r"give addresses or networks such as 10\.0\.0\.0/8"):
        Settings(unlimited_addresses=["proxy"])


def test_a_ban_ends_by_itself_and_can_be_lifted():
    bans: Bans[str] = Bans(10)
    bans.add("a", 10.0, "malformed", 0.0)
    bans.add("b", 20.0, "by hand", 0.0)
    assert bans.get("a", 9.9) is not None
    assert bans.get("a", 10.0) is None
    assert [(ban.name, ban.until, ban.cause) for ban in bans.list(5.0)] == [("b", 20.0, "by hand")]
    assert bans.remove("b")
    assert not bans.remove("b")
    assert bans.list(5.0) == []


def test_the_oldest_automatic_ban_makes_room_and_one_set_by_hand_does_not():
    bans: Bans[str] = Bans(3)
    bans.add("hand", 1000.0, "by hand", 0.0)
    for number in range(5):
        bans.add(f"auto{number}", 100.0, "stranger", 0.0, is_automatic=True)
    assert [ban.name for ban in bans.list(1.0)] == ["hand", "auto3", "auto4"]
    bans.add("auto4", 2000.0, "by hand", 1.0)
    bans.add("auto4", 2.0, "stranger", 1.0, is_automatic=True)
    assert bans.get("auto4", 500.0) is not None, "what was set by hand is not shortened"
    bans.add("third", 1000.0, "by hand", 1.0)
    with pytest.raises(TooManyBansError):
        bans.add("fourth", 1000.0, "by hand", 1.0)
    bans.add("auto5", 1000.0, "stranger", 1.0, is_automatic=True)
    assert len(bans) == 3
    bans.add("fourth", 3000.0, "by hand", 1000.0)
    assert bans.get("fourth", 1000.0) is not None, "what has ended makes room"
