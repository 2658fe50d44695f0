"""Addresses of targets that are URLs: what any of them has to have."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit


class AddressForm(NamedTuple):
    """What addresses of one kind of target look like."""

    what: str
    """Each of them is, as it is told to whoever gives another."""
    schemes: Collection[str]
    example: str

    def parts(self, address: str) -> SplitResult:
        """Raises: ValueError"""
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise self.fault(str(error)) from error
        if parts.scheme not in self.schemes or not parts.hostname or port == 0 or not address.isprintable():
            raise self.other(address)
        return parts

    def other(self, address: str) -> ValueError:
        """It is something else."""
        return self.fault(f"{address!r} is no {self.what}")

    def fault(self, cause: str) -> ValueError:
        return ValueError(f"{cause}: give one such as {self.example}")
