"""What can be set is documented, and secrets are not shown."""

from __future__ import annotations

from pathlib import Path

from settings.describe import describe, markdown
from settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_has_the_table_that_the_settings_give():
    assert markdown(Settings()) in (ROOT / "docs/settings.md").read_text()


def test_every_setting_says_what_it_means():
    assert all(row.meaning for row in describe(Settings()))


def test_what_is_in_force_is_shown_and_secrets_are_not():
    rows = {row.key: row for row in describe(Settings(redis_url="redis://:hush@h/0", batch_messages=5))}
    assert rows["batch_messages"].value == "5"
    assert rows["batch_delay_seconds"].value is None
    assert rows["redis_url"].value == "(set)"
    assert "hush" not in str(rows)
