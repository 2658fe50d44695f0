"""GT06: the protocol of Concox and Jimi, and of the many trackers that speak as theirs do."""

from protocols.gt06.protocol import GT06Protocol

GT06 = GT06Protocol()

__all__ = ["GT06", "GT06Protocol"]
