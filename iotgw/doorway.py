"""What a link's devices say before they are let in.

    link ── message of a device without session ──▶ doorway ── claim, once ──▶ admissions
      ◀── its messages, in order: they go on ────────┴─────── answer ◀─────────────┘
      ◀── or are refused

A link that brings much before the answer is not read from until it comes. Who sends and closes at once is stored all the
same, if the answer lets it in; and forgotten if there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from iotgw.admissions import Claim, Refusal
from protocols import Message
from settings import Admission

if TYPE_CHECKING:
    from iotgw.gateway import Gateway
    from iotgw.link import Link

MOST_HELD_BYTES = 64 * 1024 * 1024
"""Of all links together. Only strangers that come by the thousand bring so much before they are let in."""
MOST_WAITING_BYTES = 64 * 1024
"""Of one link, before it is not read from. Below that it is, so that it is noticed when its device leaves."""
MESSAGE_BYTES = 512
"""What a message takes beside its body, generously."""


class Visitor(NamedTuple):
    """Somebody at the door."""

    claim: Claim
    messages: list[Message]


class Doorway:
    """One link's, for as long as somebody is at it. It is told the answers, and tells its link."""

    __slots__ = ("_bytes", "_gateway", "_link", "_rule", "_waiting")

    def __init__(self, link: Link, gateway: Gateway) -> None:
        self._link = link
        self._gateway = gateway
        rule = gateway.settings.admission_of(link.protocol.name)
        has_credentials = link.protocol.has_credentials or rule is not Admission.CREDENTIAL
        self._rule = rule if has_credentials else Admission.KNOWN
        self._waiting: dict[str, Visitor] = {}
        self._bytes = 0

    @property
    def is_vouched(self) -> bool:
        return self._link.is_vouched

    @property
    def is_full(self) -> bool:
        """Whether no more should be read from the link."""
        return self._bytes >= MOST_WAITING_BYTES

    def knock(self, message: Message) -> None:
        """A device says something that has no session on the link."""
        self._hold(len(message.body) + MESSAGE_BYTES)
        visitor = self._waiting.get(message.identity)
        is_new = visitor is None
        if visitor is None:
            claim = Claim(self, (self._link.protocol.name, message.identity), self._rule, None)
            visitor = self._waiting[message.identity] = Visitor(claim, [])
        visitor.messages.append(message)
        if self._rule is Admission.CREDENTIAL:
            # Some say something else first, in the same breath.
            visitor.claim.shown = self._link.protocol.credential(message) or visitor.claim.shown
        if self._gateway.held_bytes > MOST_HELD_BYTES:
            self._forget(message.identity)
            self._link.close("crowded")
        elif len(self._waiting) > self._gateway.settings.devices_per_link:
            self._link.close("devices")
        elif is_new:
            self._gateway.admissions.ask(visitor.claim)

    def admitted(self, claim: Claim, refusal: Refusal) -> None:
        identity = claim.device[1]
        messages = self._forget(identity)
        if refusal:
            self._link.turn_away(messages)
            self._gateway.turned_away(claim, self._link, refusal)
        else:
            if claim.shown is not None and claim.shown.vouches:
                self._link.is_vouched = True
            self._link.welcome(identity, messages)

    def still_waits(self, claim: Claim) -> bool:
        if self._link.is_open:
            return True
        self._forget(claim.device[1])
        return False

    def _forget(self, identity: str) -> list[Message]:
        """Nobody of this name is at the door any more; what it has said."""
        was_full = self.is_full
        visitor = self._waiting.pop(identity, None)
        messages = [] if visitor is None else visitor.messages
        self._hold(-sum(len(message.body) + MESSAGE_BYTES for message in messages))
        self._link.doorway_changed(is_empty=not self._waiting, has_room=was_full and not self.is_full)
        return messages

    def _hold(self, size: int) -> None:
        self._bytes += size
        self._gateway.held_bytes += size
