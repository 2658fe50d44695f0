"""Why there is no rule."""

from __future__ import annotations


class RuleError(ValueError):
    """No rule, or it cannot be done with this one, and why."""
