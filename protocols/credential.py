"""What a device shows to prove who it is, and how that is kept so that nobody can read it there."""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import NamedTuple

SALT_BYTES = 16
_DIGEST_BYTES = 32
_METHOD = "blake2b"


class Credential(NamedTuple):
    """A secret as a message shows it."""

    text: str
    vouches: bool = False
    """Whether who shows it may speak for others on the same link, as a platform does for its vehicles."""


def seal(text: str, salt: bytes) -> str:
    """A credential as it is kept: whether a device shows the right one can be told from it, but not what that is.

    It is checked whenever a device connects, thousands at once after an outage, so it is a quick digest and not a slow
    one: what keeps it from being guessed is that credentials are made by a machine, long and at random.

    Raises: ValueError when the salt is of another length.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return f"{_METHOD}:{salt.hex()}:{_digest(text, salt)}"


def fits(text: str, sealed: str) -> bool:
    """Whether this is the credential that was sealed. Nothing fits what was never sealed, or by a later release."""
    method, _, rest = sealed.partition(":")
    salt, _, digest = rest.partition(":")
    if method != _METHOD or len(salt) != 2 * SALT_BYTES:
        return False
    try:
        expected = _digest(text, bytes.fromhex(salt))
    except ValueError:
        return False
    return hmac.compare_digest(expected, digest)


def _digest(text: str, salt: bytes) -> str:
    return blake2b(text.encode(errors="surrogatepass"), salt=salt, digest_size=_DIGEST_BYTES).hexdigest()
