"""The table of routes."""

from __future__ import annotations

from iotgw.control import bans, commands, evidence, health, sessions, work
from iotgw.control.route import Route

ROUTES: tuple[Route, ...] = (*health.ROUTES, *sessions.ROUTES, *evidence.ROUTES, *bans.ROUTES, *commands.ROUTES, *work.ROUTES)
