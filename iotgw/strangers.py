"""Who speaks to a listener without being a device: known by the first bytes that it sends.

Every port of the Internet is asked within minutes whether it is a web server. Such a link has nothing to say to a
codec, which would hold its bytes until the link's deadline; known for what it is, it is closed at once and counted.
Only a link's first bytes are looked at, and only while its codec has made nothing of them: a protocol that takes them
as good, such as one that travels in HTTP, is right.
"""

from __future__ import annotations

import re

LONGEST = 64
"""What tells a stranger stands in the first bytes; a link that has sent so many unrecognised is left to its codec."""

_SHAPES = {
    # CONNECT is a modem's word as well ("CONNECT 115200"), so of that the whole line has to be there.
    "http": rb"(?:GET|HEAD|POST|PUT|DELETE|PATCH|TRACE|OPTIONS|PROPFIND) (?:/|\*|https?://)|CONNECT \S{1,40} HTTP/1|PRI \* HTTP/2",
    # A handshake record with a ClientHello, RFC 8446 5.1, and the hello of SSL 2, RFC 5246 E.2.
    "tls": rb"\x16\x03[\x00-\x04]..\x01|[\x80-\x8f].\x01\x03[\x00-\x03]\x00[^\x00]\x00[\x00\x10\x20]\x00",
    # RFC 4253 4.2
    "ssh": rb"SSH-[12]\.",
    # A NetBIOS session message, RFC 1002 4.3.6, with SMB 1, 2 or 3 in it.
    "smb": rb"\x00\x00..[\xfe\xff]SMB",
    # TPKT, RFC 1006 6, with a connection request of X.224 in it.
    "rdp": rb"\x03\x00\x00.[\x06-\xff]\xe0\x00\x00",
    # A command of RESP: an array of bulk strings.
    "redis": rb"\*\d{1,3}\r\n\$\d",
    # SSLRequest, GSSENCRequest and the start of protocol 3.
    "postgresql": rb"\x00\x00\x00\x08\x04\xd2\x16[\x2f\x30]|\x00\x00[\x00\x01].\x00\x03\x00\x00user\x00",
    # CONNECT of 3.1, 3.1.1 and 5.
    "mqtt": rb"\x10[\x0a-\x7f](?:\x00\x04MQTT|\x00\x06MQIsdp)|\x10[\x80-\xff][\x01-\x7f](?:\x00\x04MQTT|\x00\x06MQIsdp)",
    "sip": rb"(?:OPTIONS|REGISTER|INVITE) sips?:",
    "rtsp": rb"(?:OPTIONS|DESCRIBE|SETUP) rtsps?://",
    "adb": rb"CNXN\x00\x00\x00\x01",
    "java": rb"JDWP-Handshake|JRMI\x00",
    # Not a stranger but a proxy in front of a listener that does not expect its header, versions 1 and 2.
    "proxy": rb"PROXY (?:TCP|UNKNOWN)|\r\n\r\n\x00\r\nQUIT\n",
}

KINDS = tuple(_SHAPES)
_ANY = re.compile(b"|".join(b"(?P<%s>%s)" % (kind.encode(), shape) for kind, shape in _SHAPES.items()), re.DOTALL)


def recognise(first: bytes) -> str | None:
    """What kind of stranger begins with these bytes; None if it is none that is known, or not yet."""
    match = _ANY.match(first)
    return match.lastgroup if match else None
