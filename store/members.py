"""Word to workers, for rules: that these have changed, or which devices they are for.

Workers look at one row with each batch (:mod:`store.rules.rulebook`). Who changes it holds it until the end of the transaction:
so this comes late in one.
"""

from __future__ import annotations

from django.db.models import F

from store.models import RuleBook


def members_changed() -> None:
    """Have them look again which rules are for which devices, as soon as the transaction that is open is committed."""
    RuleBook.objects.update(members=F("members") + 1)


def rules_changed() -> None:
    """Have them read the rules again, and where their groups are."""
    RuleBook.objects.update(version=F("version") + 1)
