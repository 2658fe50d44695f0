"""Device protocols, sans-I/O: bytes in, messages out.

Nothing in here opens a socket, reads a clock, starts a thread, logs or touches a database, so that the
same code opens frames in the gateway, decodes bodies in the workers and plays the device in the simulator.
"""

from protocols.command import Answer, AnswersName, AnswerStatus, CommandRule, Effect, Prepared
from protocols.credential import Credential
from protocols.download import Carrier, FileResult, FileStatus, Offer
from protocols.message import Event, Malformed, Message, Outcome, RawFrame, Send, Wanted
from protocols.protocol import Codec, DeviceProtocol
from protocols.report import Decoded, DecodeError, Report
from protocols.terminal import Acked, Camera, Made, Moment, Terminal, TerminalEvent

__all__ = [
    "Acked",
    "Answer",
    "AnswerStatus",
    "AnswersName",
    "Camera",
    "Carrier",
    "Codec",
    "CommandRule",
    "Credential",
    "DecodeError",
    "Decoded",
    "DeviceProtocol",
    "Effect",
    "Event",
    "FileResult",
    "FileStatus",
    "Made",
    "Malformed",
    "Message",
    "Moment",
    "Offer",
    "Outcome",
    "Prepared",
    "RawFrame",
    "Report",
    "Send",
    "Terminal",
    "TerminalEvent",
    "Wanted",
]
