"""A device of the iotgw native protocol, for MicroPython and CPython. One file, nothing else needed.

    client = Client("greenhouse-1", b"token", model="esp32", software="1.2.0")
    client.connect(SocketLink("gateway.example", 7700))
    client.reading({2: 21.5, 3: 48.0, 82: True})   # numbers of channels: docs/native.md
    client.flush()
    client.poll(1000)                              # acks, commands, files; call it again and again

What was sent stays in the client until the platform says that it is stored; after a new ``connect`` it leaves again,
the same bytes. ``LinkLostError`` means: connect again, after a pause.
"""

import struct
from binascii import crc32

try:
    from time import ticks_diff, ticks_ms  # MicroPython
except ImportError:
    import time

    def ticks_ms():
        return time.monotonic_ns() // 1_000_000

    def ticks_diff(later, earlier):
        return later - earlier


HELLO, DESCRIBE, READINGS, FILE_BEGIN, FILE_DATA, FILE_END, RESULT, GET, TIME, PING, BYE = range(1, 12)
ACK, WELCOME, COMMAND, CHUNK, TIME_ANSWER, PONG, OFFER = 0x80, 0x81, 0x87, 0x88, 0x89, 0x8A, 0x8B
DONE, FAILED, UNKNOWN, WRONG, BUSY, DAMAGED = range(6)
VERSION = 1
MAX_PAYLOAD = 4080
ANSWER_MS = 15_000  # for a WELCOME, an ACK, a CHUNK or a PONG
TRIES = 3
MARK = b"\x10\xa7"


class LinkLostError(Exception):
    """The link is gone or of no use any more; connect again."""


class RefusedError(Exception):
    """The platform does not let this device in."""


class Double:
    """A number to be sent in eight bytes rather than four."""

    def __init__(self, number):
        self.number = number


def _crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)
        yield byte


_CRC = tuple(_crc_table())


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFF


def frame(kind, sequence, payload):
    data = struct.pack(">BHH", kind, len(payload), sequence) + payload
    return MARK + data + struct.pack(">H", crc16(data))


def short(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return bytes((len(raw),)) + raw


def typed(value):
    """A value with its type: bool, int, float, Double, str, bytes, or (latitude, longitude, m, km/h, degrees)."""
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if isinstance(value, int):
        for kind, code, bits in ((2, "b", 7), (3, "h", 15), (4, "i", 31), (5, "q", 63)):
            if -(1 << bits) <= value < 1 << bits:
                return struct.pack(">B" + code, kind, value)
    if isinstance(value, Double):
        return struct.pack(">Bd", 7, value.number)
    if isinstance(value, float):
        return struct.pack(">Bf", 6, value)
    if isinstance(value, str):
        raw = value.encode()
        return struct.pack(">BH", 8, len(raw)) + raw
    if isinstance(value, tuple):
        latitude, longitude, altitude, speed, course = value + (None,) * (5 - len(value))
        return struct.pack(
            ">BiiiHH",
            10,
            -(1 << 31) if latitude is None else round(latitude * 1e7),
            0 if longitude is None else round(longitude * 1e7),
            -(1 << 31) if altitude is None else round(altitude * 100),
            0xFFFF if speed is None else round(speed * 10),
            0xFFFF if course is None else round(course * 100),
        )
    return struct.pack(">BH", 9, len(value)) + bytes(value)


def named(values):
    return b"".join(short(name) + typed(value) for name, value in values.items())


def _take(data, at):
    """A typed value that stands at ``at``, and where it ends."""
    kind = data[at]
    at += 1
    if kind < 2:
        return bool(kind), at
    if kind in (8, 9):
        end = at + 2 + struct.unpack_from(">H", data, at)[0]
        raw = bytes(data[at + 2 : end])
        return (raw.decode() if kind == 8 else raw), end
    code = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 6: ">f", 7: ">d", 10: ">iiiHH"}[kind]
    values = struct.unpack_from(code, data, at)
    return (values if kind == 10 else values[0]), at + struct.calcsize(code)


def named_values(data, at):
    values = {}
    while at < len(data):
        end = at + 1 + data[at]
        values[bytes(data[at + 1 : end]).decode()], at = _take(data, end)
    return values


class Client:
    """A device through all its links.

    ``on_ack(kind, sequence, result)`` is told of each ack; ``on_command(name, arguments)`` gives a status, or a status
    and values by name; ``on_offer(file, size, name, version)`` gives how many bytes of the file are there already and
    their CRC-32, or None; ``on_chunk(offset, data)`` stores some; ``on_loaded(is_good)`` is told that all are there.
    """

    def __init__(self, identity, token=b"", model="", software="", channels=None):
        self.hello = struct.pack(">BH", VERSION, MAX_PAYLOAD) + short(identity) + short(token) + short(model) + short(software)
        self.channels = channels or {}  # number: (name, unit), of the device's own
        self.on_ack = self.on_command = self.on_offer = self.on_chunk = self.on_loaded = None
        self.payload, self.window, self.keep_alive_ms = 1024, 8, 60_000
        self.waiting = []  # [sequence, kind, frame, when it was sent, how often], oldest first
        self.pending = []  # moments that no frame has taken yet
        self.sequence = self.number = self.clock = 0
        self.is_online = False
        self._ticks = ticks_ms()
        self._result = (None, b"")
        self._download = None  # [file, size, CRC-32, offset, CRC-32 so far, when it was asked for]

    def now(self):
        """Milliseconds since 1970 by the platform's clock; from 0 on where that was not told yet."""
        ticks = ticks_ms()
        self.clock += ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self.clock

    def connect(self, link):
        """Log in over a new link, and send again what is not acked yet."""
        self.link, self.buffer, self.is_online, self._download = link, b"", False, None
        self._heard = self._said = ticks_ms()
        self._hello = self._send(HELLO, self.hello)
        while not self.is_online:
            self._receive(100)
            if ticks_diff(ticks_ms(), self._heard) > ANSWER_MS:
                raise LinkLostError("no WELCOME")
        if self.channels:
            names = (bytes((number,)) + short(name) + short(unit) for number, (name, unit) in self.channels.items())
            self._send(DESCRIBE, b"".join(names))
        for entry in self.waiting:
            self._write(entry[2])
            entry[3], entry[4] = ticks_ms(), 1

    def reading(self, values, stamp=None):
        """Keep a moment's values by channel, to be sent with the next ``flush``."""
        if stamp is None:
            stamp = self.now()
            if stamp < 1 << 32:
                self.number = stamp = self.number + 1  # no time known: a number instead
        self.pending.append(
            struct.pack(">Q", stamp) + b"".join(bytes((channel,)) + typed(value) for channel, value in values.items())
        )

    def flush(self):
        """Send the moments that are kept, as many to a frame as fit."""
        while self.pending:
            self._wait_for_room()
            payload = b""
            while self.pending and (not payload or len(payload) + 2 + len(self.pending[0]) <= self.payload):
                moment = self.pending.pop(0)
                payload += struct.pack(">H", len(moment)) + moment
            self.put(READINGS, payload)

    def put(self, kind, payload):
        """Send what has to be stored, once there is room in the window; its sequence."""
        self._wait_for_room()
        self.sequence = (self.sequence + 1) & 0xFFFF
        data = frame(kind, self.sequence, payload)
        # Kept before it is written: if the link breaks now, it leaves over the next one.
        self.waiting.append([self.sequence, kind, data, ticks_ms(), 1])
        self._write(data)
        return self.waiting[-1][0]

    def drain(self):
        """Wait until everything is acked."""
        while self.waiting:
            self.poll(100)

    def sync(self):
        """Ask what time it is; the answer sets the clock."""
        self.put(TIME, struct.pack(">Q", self.now()))

    def send_file(self, source, stamp, content, name, size, start=0, on_progress=None):
        """Send a file from ``source``, which can seek. ``on_progress(offset)`` is told up to where it is stored for good."""
        try:
            self._send_file(source, stamp, content, name, size, start, on_progress)
        except LinkLostError:
            # The caller knows from where to go on; what it sends again need not leave twice.
            self.waiting = [entry for entry in self.waiting if entry[1] not in (FILE_BEGIN, FILE_DATA, FILE_END)]
            raise

    def _send_file(self, source, stamp, content, name, size, start, on_progress):
        self.put(FILE_BEGIN, struct.pack(">QBI", stamp, content, size) + short(name))
        offset, crc, unacked, told = 0, 0, {}, start
        source.seek(0)
        while offset < size:
            data = source.read(min(self.payload - 12, (start if offset < start else size) - offset))
            crc = crc32(data, crc)
            if offset >= start:
                unacked[self.put(FILE_DATA, struct.pack(">QI", stamp, offset) + data)] = offset
                told = self._tell(unacked, offset + len(data), told, on_progress)
            offset += len(data)
        self.drain()
        self._tell({}, size, told, on_progress)
        self.put(FILE_END, struct.pack(">QII", stamp, size, crc))
        self.drain()

    def poll(self, wait_ms=0):
        """Take what comes within ``wait_ms``, send again what is overdue, and keep the link alive."""
        self._receive(wait_ms)
        now = ticks_ms()
        for entry in self.waiting:
            if ticks_diff(now, entry[3]) > ANSWER_MS:
                if entry[4] == TRIES:
                    raise LinkLostError("no ACK")
                self._write(entry[2])
                entry[3], entry[4] = now, entry[4] + 1
        if self._download and ticks_diff(now, self._download[5]) > ANSWER_MS:
            self._get()
        if ticks_diff(now, self._said) > self.keep_alive_ms:
            self._send(PING, b"")
        if ticks_diff(now, self._heard) > self.keep_alive_ms + ANSWER_MS:
            raise LinkLostError("silence")

    def bye(self):
        self.put(BYE, b"")
        self.drain()

    def _wait_for_room(self):
        while len(self.waiting) >= self.window:
            self.poll(100)

    def _tell(self, unacked, end, told, on_progress):
        still = {entry[0] for entry in self.waiting}
        for sequence in [sequence for sequence in unacked if sequence not in still]:
            del unacked[sequence]
        reached = min(unacked.values()) if unacked else end
        if on_progress and reached > told:
            on_progress(reached)
        return max(reached, told)

    def _send(self, kind, payload):
        self.sequence = (self.sequence + 1) & 0xFFFF
        self._write(frame(kind, self.sequence, payload))
        return self.sequence

    def _write(self, data):
        self.link.send(data)
        self._said = ticks_ms()

    def _receive(self, wait_ms):
        data = self.link.recv(wait_ms)
        if data is None:
            raise LinkLostError("closed")
        self.buffer += data
        while len(self.buffer) >= 9:
            if self.buffer[:2] == MARK:
                kind, length, sequence = struct.unpack_from(">BHH", self.buffer, 2)
                if length <= MAX_PAYLOAD:
                    if len(self.buffer) < length + 9:
                        return
                    found, rest = self.buffer[: length + 9], self.buffer[length + 9 :]
                    if crc16(found[2:-2]) == struct.unpack(">H", found[-2:])[0]:
                        self.buffer, self._heard = rest, ticks_ms()
                        self._take_message(kind, sequence, found[7:-2])
                        continue
            at = self.buffer.find(MARK, 1)
            self.buffer = self.buffer[at:] if at > 0 else self.buffer[-1:]

    def _take_message(self, kind, sequence, body):
        if kind == WELCOME and sequence == self._hello:
            result, version, clock, self.payload, self.window, seconds = struct.unpack_from(">BBQHBH", body)
            if result or version > VERSION:
                raise RefusedError(body[16 : 16 + body[15]].decode())
            self.clock, self._ticks, self.keep_alive_ms, self.is_online = clock, ticks_ms(), 1000 * seconds, True
        elif kind in (ACK, TIME_ANSWER):
            self._acked(kind, sequence, body)
        elif kind == COMMAND:
            self._command(body)
        elif kind == OFFER:
            self._offer(body)
        elif kind == CHUNK:
            self._chunk(body)

    def _acked(self, kind, sequence, body):
        if kind == ACK and body[0] not in (0, 2):
            raise RefusedError("a message was refused")
        for entry in self.waiting:
            if entry[0] == sequence:
                if kind == TIME_ANSWER:
                    # The answer was on its way for half of what the whole round took, if both ways are alike.
                    self._ticks = ticks_ms()
                    self.clock = struct.unpack_from(">QQ", body)[1] + ticks_diff(self._ticks, entry[3]) // 2
                self.waiting.remove(entry)
                if self.on_ack:
                    self.on_ack(entry[1], sequence, body[0] if kind == ACK else 0)
                return

    def _command(self, body):
        id = struct.unpack_from(">I", body)[0]
        if id != self._result[0]:
            end = 5 + body[4]
            try:
                arguments = named_values(body, end)
                answer = self.on_command(body[5:end].decode(), arguments) if self.on_command else UNKNOWN
            except (KeyError, IndexError, ValueError, struct.error):
                answer = WRONG
            status, values = answer if isinstance(answer, tuple) else (answer, {})
            payload = struct.pack(">QBIB", self.now(), COMMAND, id, status) + named(values)
            # Told again, because its result did not arrive in time, a command is not done again; one that was put off is.
            self._result = (None if status == BUSY else id, payload)
        self._put_result(self._result[1])

    def _offer(self, body):
        file, size, crc = struct.unpack_from(">III", body)
        end = 13 + body[12]
        version = body[end + 1 : end + 1 + body[end]].decode()
        there = self.on_offer(file, size, body[13:end].decode(), version) if self.on_offer else None
        if there is None:
            self._put_result(struct.pack(">QBIB", self.now(), OFFER, file, UNKNOWN))
            return
        self._download = [file, size, crc, there[0], there[1], 0]
        self._get()

    def _chunk(self, body):
        download, data = self._download, body[8:]
        if download and data and struct.unpack_from(">II", body) == (download[0], download[3]):
            self.on_chunk(download[3], data)
            download[3] += len(data)
            download[4] = crc32(data, download[4])
            self._get()

    def _get(self):
        file, size, crc, offset, found, _ = self._download
        if offset < size:
            self._download[5] = ticks_ms()
            self._send(GET, struct.pack(">IIH", file, offset, MAX_PAYLOAD - 8))
            return
        self._download = None
        self.on_loaded(found == crc)
        self._put_result(struct.pack(">QBIB", self.now(), OFFER, file, DONE if found == crc else DAMAGED))

    def _put_result(self, payload):
        """A result leaves at once, whatever the window: waiting for room here would wait for ourselves."""
        sequence = self.sequence = (self.sequence + 1) & 0xFFFF
        self.waiting.append([sequence, RESULT, frame(RESULT, sequence, payload), ticks_ms(), 1])
        self._write(self.waiting[-1][2])


class SocketLink:
    """A TCP connection."""

    def __init__(self, host, port):
        import socket

        self.socket = socket.socket()
        try:
            self.socket.connect(socket.getaddrinfo(host, port)[0][-1])
        except OSError:
            self.socket.close()
            raise

    def send(self, data):
        try:
            self.socket.settimeout(ANSWER_MS / 1000)
            while data:
                data = data[self.socket.send(data) :]
        except OSError as error:
            raise LinkLostError("cannot send") from error

    def recv(self, wait_ms):
        """What has come within ``wait_ms``; nothing if nothing has, None if the link is closed."""
        try:
            self.socket.settimeout(max(wait_ms, 1) / 1000)
            return self.socket.recv(4096) or None
        except OSError as error:
            # Nothing yet, in the words of CPython and of the ports of MicroPython.
            return b"" if error.errno in (None, 11, 110, 116) else None

    def close(self):
        self.socket.close()


def main(words):
    """A board that sends readings of all types and a file, and then does what it is told for a while.

    HOST PORT IDENTITY TOKEN FILE STATE [SECONDS]: ``STATE`` is a file that remembers how far FILE has got; firmware is
    written beside it, ``STATE.firmware``. A line is printed for each ack.
    """
    import os
    import time

    host, port, identity, token, path, state = words[:6]
    seconds = float(words[6]) if len(words) > 6 else 0
    firmware = state + ".firmware"

    def say(*parts):
        print(*parts, flush=True)

    def command(name, arguments):
        say("command", name, arguments)
        return (DONE, arguments) if name == "echo" else UNKNOWN

    def offer(file, size, name, version):
        there, crc = 0, 0
        if os.path.exists(firmware):
            with open(firmware, "rb") as source:
                raw = source.read()[:size]
            there, crc = len(raw), crc32(raw)
        say("offer", file, size, name, version, there)
        return there, crc

    def chunk(offset, data):
        with open(firmware, "r+b" if os.path.exists(firmware) else "wb") as target:
            target.seek(offset)
            target.write(data)
        say("chunk", offset, len(data))

    def progress(offset):
        with open(state + ".new", "w") as target:
            target.write(f"{stamp} {offset}")
        os.replace(state + ".new", state)

    client = Client(identity, token, "example", "1.0.0", {128: ("lid_angle_deg", "°")})
    client.on_ack = lambda kind, sequence, result: say("ack", kind, sequence, result)
    client.on_command, client.on_offer, client.on_chunk = command, offer, chunk
    client.on_loaded = lambda is_good: say("loaded", is_good)
    todo = ["readings", "sync", "file", "stay", "bye"]
    lost = 0
    link = None
    while todo:
        try:
            if link is None:
                link = SocketLink(host, int(port))
                client.connect(link)
                say("welcome", client.payload, client.window)
            if todo[0] == "readings":
                where = (31.2304, 121.4737, 12.5, 36.0, 90.0)
                client.reading({1: where, 2: 21.5, 4: Double(1013.25), 36: 2_400, 48: -71, 82: True, 80: False, 112: "温度 ok"})
                client.reading({49: 70_000, 51: -5, 66: 3_000_000_000, 128: 90, 129: b"\x00\xff"}, client.now() + 1)
                todo.pop(0)  # what is pending or waiting now outlives the link
                client.flush()
            elif todo[0] == "sync":
                todo.pop(0)
                client.sync()
                client.drain()
            elif todo[0] == "file":
                stamp, offset = client.now(), 0
                if os.path.exists(state):
                    with open(state) as source:
                        stamp, offset = (int(word) for word in source.read().split())
                else:
                    progress(0)
                say("file", stamp, offset)
                with open(path, "rb") as source:
                    client.send_file(source, stamp, 1, os.path.basename(path), os.path.getsize(path), offset, progress)
                os.remove(state)
                todo.pop(0)
            elif todo[0] == "stay":
                until = ticks_ms() + int(1000 * seconds)
                while ticks_diff(until, ticks_ms()) > 0:
                    client.poll(100)
                todo.pop(0)
            else:
                client.flush()
                client.drain()
                client.bye()
                todo.pop(0)
        except (LinkLostError, OSError) as error:
            say("lost", error)
            if link:
                link.close()
            link, lost = None, lost + 1
            if lost == 20:
                return 1
            time.sleep(min(0.1 * 2**lost, 5))
        except RefusedError as error:
            say("refused", error)
            return 2
    link.close()
    return 0


if __name__ == "__main__":
    import sys

    if len(sys.argv) > 6:
        sys.exit(main(sys.argv[1:]))
