"""How much anybody may have of a gateway: links and new links of an address, messages of a device, and who is banned.

What is counted here is counted by names that strangers choose. So every table is bounded, whatever they are, and none
is walked for each event: to make room costs a fraction of what has filled it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

Name = TypeVar("Name")

LEAST_KEPT = 1024
MAX_DEBTORS = 65_536
"""Some 10 MB at the most. More addresses at once than that are beyond what a rate for each of them can stop."""
_MAPPED = bytes(10) + b"\xff\xff"


class Fading(Generic[Name]):
    """Names that are known until a time of their own. Those whose time has passed go when there is no room for more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sweep_at = min(LEAST_KEPT, limit)
        self._until: dict[Name, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def _sweep(self, now: float) -> None:
        """Keep what still lies ahead; the newer half if that is nearly as much as there may be, so that sweeps stay rare."""
        kept = {name: until for name, until in self._until.items() if until > now}
        half = self._limit // 2
        self._until = dict(islice(kept.items(), len(kept) - half, None)) if len(kept) > half else kept
        self._sweep_at = min(max(LEAST_KEPT, 2 * len(self._until)), self._limit)


class Rates(Fading[Name]):
    """A token bucket for each name, of ``rate`` tokens a second and ``burst`` at the most; a rate of 0 has no bound.

    A bucket is kept as the time at which it will be full. One that is full needs no keeping, so that the table holds
    those only who came in the last moments, and a name that is new has its whole burst.

    Source: the generic cell rate algorithm, ITU-T I.371 annex A.
    """

    def __init__(self, rate: float, burst: float, limit: int = MAX_DEBTORS) -> None:
        super().__init__(limit)
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = burst * self._interval

    def spend(self, name: Name, now: float) -> float:
        """Take one token, even if there is none; when there is one for what comes next, which may be in the past."""
        if not self._interval:
            return now
        full_at = self._until.get(name)
        if full_at is None:
            if len(self._until) >= self._sweep_at:
                self._sweep(now)
            full_at = now
        elif full_at < now:
            full_at = now
        full_at += self._interval
        self._until[name] = full_at
        # Half a token of slack: what is added up from fractions is never quite a whole.
        return full_at - self._tolerance + self._interval / 2

    def has_token(self, name: Name, now: float) -> bool:
        full_at = self._until.get(name)
        return full_at is None or full_at + self._interval / 2 <= now + self._tolerance


class Offences(Fading[Name]):
    """How often somebody offended within a window of time, which begins with the first of it."""

    def __init__(self, window_seconds: float, limit: int = MAX_DEBTORS) -> None:
        super().__init__(limit)
        self._window_seconds = window_seconds
        self._counts: dict[Name, int] = {}

    def count(self, name: Name, now: float) -> int:
        """One more; how many it makes."""
        if self._until.get(name, now) <= now:
            if len(self._until) >= self._sweep_at:
                self._sweep(now)
            self._until[name], self._counts[name] = now + self._window_seconds, 0
        self._counts[name] += 1
        return self._counts[name]

    def forget(self, name: Name) -> None:
        self._until.pop(name, None)
        self._counts.pop(name, None)

    def _sweep(self, now: float) -> None:
        super()._sweep(now)
        self._counts = {name: self._counts[name] for name in self._until}


@dataclass(frozen=True, slots=True)
class Ban(Generic[Name]):
    """Who may not come in, until when by the gateway's clock, and why."""

    name: Name
    until: float
    cause: str
    is_automatic: bool


class TooManyBansError(Exception):
    """As many bans as there may be were set by hand and last still: lift one first."""


class Bans(Generic[Name]):
    """Bans that end by themselves. When there is no room, the oldest of those that the gateway set itself goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.by_name: dict[Name, Ban[Name]] = {}
        """With those that have ended and were not asked after since."""

    def add(self, name: Name, until: float, cause: str, now: float, is_automatic: bool = False) -> None:
        """Ban somebody, or change the ban that there is; the gateway's own never shortens one that was set by hand.

        Raises: TooManyBansError
        """
        held = self.get(name, now)
        if held is not None and is_automatic and not held.is_automatic:
            return
        self.by_name.pop(name, None)
        if len(self.by_name) >= self._limit and not self._has_made_room(now):
            if is_automatic:
                return
            raise TooManyBansError(f"there are {self._limit} bans already: lift one first")
        self.by_name[name] = Ban(name, until, cause, is_automatic)

    def remove(self, name: Name) -> bool:
        return self.by_name.pop(name, None) is not None

    def get(self, name: Name, now: float) -> Ban[Name] | None:
        """The ban that is in force."""
        ban = self.by_name.get(name)
        if ban is not None and ban.until <= now:
            del self.by_name[name]
            return None
        return ban

    def list(self, now: float) -> list[Ban[Name]]:
        """What is in force, oldest first."""
        for name in [name for name, ban in self.by_name.items() if ban.until <= now]:
            del self.by_name[name]
        return [*self.by_name.values()]

    def __len__(self) -> int:
        return len(self.by_name)

    def _has_made_room(self, now: float) -> bool:
        oldest = next(iter(self.by_name.values()))
        if oldest.is_automatic or oldest.until <= now:
            # Nearly always: those that were set by hand are few.
            del self.by_name[oldest.name]
            return True
        self.list(now)
        gone = next((ban.name for ban in self.by_name.values() if ban.is_automatic), None)
        if gone is not None:
            del self.by_name[gone]
        return len(self.by_name) < self._limit


class AddressSettings(Protocol):
    @property
    def unlimited_addresses(self) -> Sequence[str]: ...
    @property
    def links_per_address(self) -> int: ...
    @property
    def unidentified_per_address(self) -> int: ...
    @property
    def links_per_second(self) -> float: ...
    @property
    def links_burst(self) -> int: ...
    @property
    def ban_offences(self) -> int: ...
    @property
    def ban_window_seconds(self) -> float: ...
    @property
    def ban_seconds(self) -> float: ...
    @property
    def max_bans(self) -> int: ...


@dataclass(slots=True)
class Held:
    """What an address has open."""

    links: int = 0
    unidentified: int = 0
    """Those of its links that have no session."""


class Addresses:
    """What each address has, and whether it may have more.

    Many devices share an address behind a mobile network's NAT. So an address with sessions is not banned for what
    some stranger behind it does, and the bound for links that have said who they are is far above the one for those
    that have not.
    """

    def __init__(self, settings: AddressSettings) -> None:
        self.bans: Bans[str] = Bans(settings.max_bans)
        self._settings = settings
        self._unlimited = [ipaddress.ip_network(network) for network in settings.unlimited_addresses]
        self._held: dict[str, Held] = {}
        self._opened: Rates[str] = Rates(settings.links_per_second, settings.links_burst)
        self._offences: Offences[str] = Offences(settings.ban_window_seconds)

    def key(self, host: str) -> str:
        """Under which name an address is counted; empty for one that has no bound.

        Whoever has one address of IPv6 has the 2⁶⁴ of its network.
        """
        try:
            packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host.partition("%")[0])
        except (OSError, ValueError):
            # No address at all: a socket in the file system, which its folder's rights guard, or a proxy's nonsense.
            return ""
        packed = packed.removeprefix(_MAPPED)
        address = ipaddress.ip_address(packed)
        if any(address in network for network in self._unlimited):
            return ""
        return str(address) if len(packed) == 4 else f"{ipaddress.IPv6Address(packed[:8] + bytes(8))}/64"

    def refusal(self, address: str, now: float) -> str:
        """Why an address may not have one more link, in one word; empty if it may, which then counts as a new one."""
        if not address:
            return ""
        if self.bans.get(address, now) is not None:
            return "banned"
        held = self._held.get(address)
        if held is not None:
            if held.links >= self._settings.links_per_address:
                return "address"
            if held.unidentified >= self._settings.unidentified_per_address:
                return "unidentified"
        if not self._opened.has_token(address, now):
            return "rate"
        self._opened.spend(address, now)
        return ""

    def opened(self, address: str | None) -> None:
        if address:
            held = self._held.setdefault(address, Held())
            held.links += 1
            held.unidentified += 1

    def identified(self, address: str | None, is_identified: bool) -> None:
        """A link of this address has its first session, or has lost its last."""
        if address:
            self._held[address].unidentified += -1 if is_identified else 1

    def closed(self, address: str | None) -> None:
        """A link of this address is gone, whose sessions had ended."""
        if address:
            held = self._held[address]
            held.links -= 1
            held.unidentified -= 1
            if not held.links:
                del self._held[address]

    def offended(self, address: str | None, cause: str, now: float) -> bool:
        """A link of this address was closed for what it sent; whether that bans the address."""
        if not address or not self._settings.ban_offences:
            return False
        held = self._held.get(address)
        if self._offences.count(address, now) < self._settings.ban_offences or (held and held.links > held.unidentified):
            return False
        self._offences.forget(address)
        self.bans.add(address, now + self._settings.ban_seconds, cause, now, is_automatic=True)
        return True

    def __iter__(self) -> Iterator[tuple[str, Held]]:
        return iter(self._held.items())

    def __len__(self) -> int:
        return len(self._held)
