"""What commands in text do, as far as texts are known.

Source: Concox GPS Tracker Communication Protocol (GT06) v1.8.1, chapter 6, and the lists of SMS commands of its devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.command import CommandField, CommandRule, Effect

_FORM = (
    CommandField("text", "text, ASCII", "", "Command, as the device takes it by SMS", "指令内容"),
    CommandField("language", "u16", "", "Language of the reply, 1 Chinese, 2 English", "语言", is_needed=False),
)
_UNKNOWN = CommandRule(Effect.ACTUATE, is_confirmed_twice=True, form=_FORM)
_QUERY = CommandRule(Effect.QUERY, is_repeatable=True, form=_FORM)
_ACTUATE = CommandRule(Effect.ACTUATE, form=_FORM)
_CONFIGURE = CommandRule(Effect.CONFIGURE, is_repeatable=True, form=_FORM)
_WORDS = {
    **dict.fromkeys(("STATUS", "PARAM", "WHERE", "VERSION"), _QUERY),
    **dict.fromkeys(("TIMER", "GMT"), _CONFIGURE),
    **dict.fromkeys(("RESET", "HFYD"), _ACTUATE),
}
"""By what a text begins with. All others may cut the engine off, send the device to another server, or take its settings away."""
_ENGINE_ON = ("RELAY", "0")


def _by_text(fields: Mapping[str, Any]) -> CommandRule:
    told = fields.get("command")
    text = told.get("text") if isinstance(told, Mapping) else fields.get("text")
    if not isinstance(text, str):
        return _UNKNOWN
    words = [word.strip().upper() for word in text.strip().rstrip("#").split(",")]
    return _ACTUATE if tuple(words) == _ENGINE_ON else _WORDS.get(words[0], _UNKNOWN)


TEXT_COMMAND = _UNKNOWN._replace(differs=_by_text)
