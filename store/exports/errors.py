"""Why there is no file."""

from __future__ import annotations


class ExportError(Exception):
    """It cannot be made, and what to do; in words for whoever asked for it."""


class ExportEndedError(Exception):
    """Somebody has ended it meanwhile, or another worker has done this step."""
