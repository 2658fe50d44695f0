"""The database that a bench in this process writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from store.database import database


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Have Django's default connection lead there, and close it afterwards."""
    settings = connections.configure_settings({"default": database(url)})["default"]
    del connections["default"]
    connections.settings["default"] = settings
    yield
    connections["default"].close()
