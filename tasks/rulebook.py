"""The rules of operators, as far as this process has looked."""

from __future__ import annotations

from store.rules.rulebook import KnownRules

known_rules = KnownRules()
"""Asked for with each batch, and read again when they have changed."""
