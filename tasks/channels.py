"""What channels are called and measured in, by the protocols that this worker has."""

from __future__ import annotations

import logging
from functools import cache

from protocols.catalogue import Entry
from protocols.vocabulary import Vocabulary, entry, vocabulary
from store.channels import KnownChannels
from tasks.celery import protocols

log = logging.getLogger(__name__)


def described(protocol: str, name: str) -> Entry:
    """What a value of this name is, by the words that all protocols share and those of its own."""
    return entry(name, _words(protocol))


@cache
def _words(protocol: str) -> Vocabulary:
    """Of a protocol that is not here, or whose tables cannot be gone through, none: its values are stored all the same."""
    try:
        return vocabulary(protocols[protocol]) if protocol in protocols else {}
    except Exception:
        log.exception("names of values cannot be read from the declarations", extra={"protocol": protocol})
        return {}


known_channels = KnownChannels(described)
"""What this process has seen of each device."""
