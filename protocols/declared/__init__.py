"""Protocols in one file: frames, messages and answers are declared, everything else is made of the declarations.

What a standard's protocol takes a package for (sub-packets, polls, encryption) is not in here: see docs/your-own-protocol.md.
"""

from protocols.declared.frame import Check, DeclarationError, Frame
from protocols.declared.protocol import DeclaredProtocol
from protocols.declared.rows import Answer, Answered, Downlink, Uplink

__all__ = ["Answer", "Answered", "Check", "DeclarationError", "DeclaredProtocol", "Downlink", "Frame", "Uplink"]
