"""What commands in text do, as far as texts are known.

Source: Teltonika, "SMS/GPRS Commands".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from protocols.command import CommandField, CommandRule, Effect

_TEXT = CommandField("text", "text, ASCII", "", "Command, as by SMS but without login and password", "指令文本")
_IMEI = CommandField("imei", "BCD digits", "", "IMEI of whom it is for; this device if it is left out", "设备IMEI", is_needed=False)
_UNKNOWN = CommandRule(Effect.ACTUATE, is_confirmed_twice=True)
_QUERY = CommandRule(Effect.QUERY, is_repeatable=True)
_ACTUATE = CommandRule(Effect.ACTUATE)
_CONFIGURE = CommandRule(Effect.CONFIGURE, is_repeatable=True)
_QUERIES = re.compile("get[a-z]*|readio")
_WAYS_HERE = frozenset({*range(242, 247), *range(2001, 2007)})
"""Parameters by which a device finds its platform: access point, user, password, domain, port; of old models and of new ones."""
_SETTING = re.compile(r"\s*(\d+)\s*:")


def _by_text(fields: Mapping[str, Any]) -> CommandRule:
    """Outputs may cut an engine off, and what is not known may do anything."""
    content = fields.get("content")
    text = content.get("text") if isinstance(content, Mapping) else fields.get("text")
    if not isinstance(text, str):
        return _UNKNOWN
    word, _, rest = text.strip().partition(" ")
    word = word.partition(":")[0].lower()
    if _QUERIES.fullmatch(word):
        return _QUERY
    if word == "cpureset":
        return _ACTUATE
    if word == "odoset":
        return _CONFIGURE
    if word == "setparam":
        ids = [_SETTING.match(part) for part in rest.split(";") if part.strip()]
        is_away = any(found is None or int(found[1]) in _WAYS_HERE for found in ids) or not ids
        return _CONFIGURE._replace(is_confirmed_twice=is_away)
    return _UNKNOWN


TEXT_COMMAND = _UNKNOWN._replace(differs=_by_text, form=(_TEXT,))
ADDRESSED_COMMAND = _UNKNOWN._replace(differs=_by_text, form=(_TEXT, _IMEI))
