"""Teltonika: trackers of vehicles and assets, codecs 8, 8 Extended and 16 over TCP."""

from protocols.teltonika.protocol import TeltonikaProtocol

TELTONIKA = TeltonikaProtocol()

__all__ = ["TELTONIKA"]
