"""Rounds of a fuzz test: bytes in, everything done with what comes out, and what must always hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from protocols import Codec, DeviceProtocol, Malformed, Message, Outcome, Send, Terminal, Wanted
from tests.fuzz.mutations import SEALS, Mutator
from tests.held import held_bytes
from tests.protocols.captures import captures

ROUNDS_A_LINK = 200
HELD_LIMIT = 4 << 20
"""Bytes that one link may hold on to, of all kinds; the largest of them are sub-packets, of which there may be 1 MiB."""
_TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FuzzError(Exception):
    """Something that must not happen did; ``data`` is what a new link has to be fed for it to happen again."""

    def __init__(self, why: str, data: list[bytes]) -> None:
        super().__init__(f"{why}\nreproduce with: {b''.join(data).hex()}")
        self.data = data


class Rounds:
    """A fuzz test of one protocol. The same seed gives the same rounds."""

    def __init__(self, protocol: DeviceProtocol, seed: int) -> None:
        self.protocol = protocol
        self.counts: Counter[str] = Counter()
        self._random = Random(seed)
        frames = [capture["frame"] for capture in captures(protocol.name)]
        self._mutator = Mutator(self._random, frames, SEALS.get(protocol.name))
        self._identity = protocol.simulated_identity(0)
        self._device: Terminal = protocol.terminal(self._identity)
        self._answers: list[bytes] = []
        """What the device would say to what it was sent at once: to polls above all."""

    def run(self, count: int) -> Iterator[int]:
        """Go through ``count`` rounds, giving the number of each as it is done.

        Raises: FuzzError
        """
        codec, fed, now = self._codec(), [], 0.0
        for done in range(1, count + 1):
            data = self._mutator.next(self._answers.pop(0) if self._answers else None)
            chunks = self._mutator.chunks(data)
            fed += chunks
            now += self._random.choice((0.0, 0.01, 7.0, 100.0))
            try:
                self._feed(codec, chunks, now)
                self._explain(data)
                if done % ROUNDS_A_LINK == 0 or done == count:
                    self._end(codec)
                    codec, fed, now = self._codec(), [], 0.0
            except Exception as error:
                raise FuzzError(f"{type(error).__name__}: {error}", self._fewest(chunks, fed)) from error
            yield done

    def _codec(self) -> Codec:
        """A link on which the device has logged in."""
        self._device.connect()
        self._answers.clear()
        return self.protocol.codec(self._identity)

    def _feed(self, codec: Codec, chunks: list[bytes], now: float) -> None:
        for chunk in chunks:
            self._take(codec, codec.receive(chunk, now))
        deadline = codec.deadline
        if deadline is not None and deadline <= now:
            self._take(codec, codec.wake(now))

    def _take(self, codec: Codec, events: object) -> None:
        for event in events:  # type: ignore[attr-defined]
            if isinstance(event, Message):
                self.counts["messages"] += 1
                self._read(codec, event)
            elif isinstance(event, Malformed):
                self.counts[f"malformed: {event.cause}"] += 1
            elif isinstance(event, Wanted):
                self.counts["wanted of files"] += 1
            else:
                self.counts["sent at once"] += 1
                self._answers = [event.data for event in self._device.receive(event.data) if isinstance(event, Send)]

    def _read(self, codec: Codec, message: Message) -> None:
        decoded = self.protocol.decode(message)
        if decoded.error:
            self.counts[f"decode error: {decoded.error.cause}"] += 1
        for report in decoded.reports:
            json.dumps([report.kind, report.values, report.alarms, report.latitude, report.speed_kmh, report.digest.hex()])
            assert report.time is None or report.time.tzinfo is not None, "a time without a zone"
        self.protocol.kind_name(message.kind)
        assert isinstance(codec.ack(message, self._random.choice(list(Outcome)), _TIME), bytes)

    def _explain(self, data: bytes) -> None:
        at = 0
        explanation = self.protocol.explain(data)
        for leaf in explanation.leaves():
            assert leaf.start == at, f"{leaf.name} begins at {leaf.start}, not {at}"
            at = leaf.end
        assert at == len(explanation.raw), "bytes without a field"
        self.counts["explained with an error" if explanation.error else "explained as good"] += 1

    def _end(self, codec: Codec) -> None:
        held = held_bytes(codec)
        assert held <= HELD_LIMIT, f"{held} bytes held"
        self._take(codec, codec.end())

    def _fewest(self, chunks: list[bytes], fed: list[bytes]) -> list[bytes]:
        """The last bytes alone if they suffice, else all that the link was fed."""
        codec = self._codec()
        try:
            self._feed(codec, chunks, 0.0)
            self._explain(b"".join(chunks))
            self._end(codec)
        except Exception:
            return chunks
        return fed
