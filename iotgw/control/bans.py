"""Keeping devices and addresses out for a while. Bans are this gateway's own and end with its process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from iotgw.control.route import Asked, ControlError, Given, Route, Told
from iotgw.limits import Ban, TooManyBansError

LONGEST_SECONDS = 366 * 86_400
NOT_BANNED = {404: "There is no such ban."}
FULL = {409: "As many bans as there may be were set by hand."}


class BanGiven(Given):
    seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS, description="For so long.")]
    cause: str = Field("by hand", max_length=200, description="For whoever reads the list.")


class BanTold(Told):
    until: datetime
    seconds: float = Field(description="Until then.")
    cause: str
    is_automatic: bool = Field(description="Whether the gateway set it itself.")


class DeviceBanTold(BanTold):
    protocol: str
    identity: str


class AddressBanTold(BanTold):
    address: str = Field(description="An address, or of IPv6 its /64 network.")


class BansTold(Told):
    devices: list[DeviceBanTold]
    addresses: list[AddressBanTold]


class UnbanTold(Told):
    lifted: bool = True


def list_bans(asked: Asked) -> BansTold:
    gateway = asked.reach.gateway
    now = gateway.now()
    return BansTold(
        devices=[_device_told(ban, now) for ban in gateway.banned_devices.list(now)],
        addresses=[_address_told(ban, now) for ban in gateway.addresses.bans.list(now)],
    )


def device_ban(asked: Asked, protocol: str, identity: str) -> BanTold | None:
    """The ban of a device that is in force."""
    gateway = asked.reach.gateway
    now = gateway.now()
    ban = gateway.banned_devices.get((protocol, identity), now)
    return None if ban is None else BanTold(**_times(ban, now))


def ban_device(asked: Asked) -> DeviceBanTold:
    gateway, name = asked.reach.gateway, (asked.path["protocol"], asked.path["identity"])
    _set(lambda: gateway.ban_device(*name, asked.body.seconds, asked.body.cause))
    return _device_told(gateway.banned_devices.by_name[name], gateway.now())


def unban_device(asked: Asked) -> UnbanTold:
    return _lift(asked.reach.gateway.banned_devices.remove((asked.path["protocol"], asked.path["identity"])))


def ban_address(asked: Asked) -> AddressBanTold:
    gateway, host = asked.reach.gateway, asked.path["address"].removesuffix("/64")
    _set(lambda: gateway.ban_address(host, asked.body.seconds, asked.body.cause))
    return _address_told(gateway.addresses.bans.by_name[gateway.addresses.key(host)], gateway.now())


def unban_address(asked: Asked) -> UnbanTold:
    addresses = asked.reach.gateway.addresses
    return _lift(addresses.bans.remove(addresses.key(asked.path["address"].removesuffix("/64"))))


def _set(ban: Callable[[], None]) -> None:
    try:
        ban()
    except TooManyBansError as error:
        raise ControlError(409, "too_many_bans", str(error)) from error
    except ValueError as error:
        raise ControlError(400, "bad_address", str(error)) from error


def _lift(was_banned: bool) -> UnbanTold:
    if not was_banned:
        raise ControlError(404, "not_banned", "there is no such ban: GET /v1/bans lists those in force")
    return UnbanTold()


def _device_told(ban: Ban[tuple[str, str]], now: float) -> DeviceBanTold:
    return DeviceBanTold(protocol=ban.name[0], identity=ban.name[1], **_times(ban, now))


def _address_told(ban: Ban[str], now: float) -> AddressBanTold:
    return AddressBanTold(address=ban.name, **_times(ban, now))


def _times(ban: Ban[Any], now: float) -> dict[str, Any]:
    left = max(0.0, ban.until - now)
    until = datetime.now(UTC) + timedelta(seconds=left)
    return {"until": until, "seconds": round(left, 3), "cause": ban.cause, "is_automatic": ban.is_automatic}


_DEVICE = "/v1/bans/devices/{protocol}/{identity}"
_ADDRESS = "/v1/bans/addresses/{address}"
ROUTES = (
    Route("GET", "/v1/bans", "Bans in force", list_bans, BansTold),
    Route("PUT", _DEVICE, "Take no more of a device, or change its ban", ban_device, DeviceBanTold, body=BanGiven, errors=FULL),
    Route("DELETE", _DEVICE, "Lift a device's ban", unban_device, UnbanTold, errors=NOT_BANNED),
    Route("PUT", _ADDRESS, "Close an address's links and let none in", ban_address, AddressBanTold, body=BanGiven, errors=FULL),
    Route("DELETE", _ADDRESS, "Lift an address's ban", unban_address, UnbanTold, errors=NOT_BANNED),
)
