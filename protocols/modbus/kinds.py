"""The numbers of what is stored. A request's is its function code, so that these begin behind all of them."""

from __future__ import annotations

REGISTRATION = 0x100
READING = 0x101
IDENTIFICATION = 0x102
UNIT_OFFLINE = 0x103
UNIT_ONLINE = 0x104
COMMAND_RESULT = 0x105
LATE_ANSWER = 0x106
UNASKED_FRAME = 0x107
