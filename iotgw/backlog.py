"""What waits behind the batches in flight: the oldest in the spool, the newest in memory until they are there too.

    collected ── batch ──▶ held ── written ──▶ in the spool ── read ──▶ in flight
                            │        └── answered: it counts as stored     ▲
                            └── nothing in the spool is older ─────────────┘

The spool answers for those devices only that have a session on the link they are on. A device whose session has ended
since waits for its receipt, in memory if there is room for it, else it sends again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

from iotgw.batch import Batch, Entry, answer
from iotgw.segments import Place
from iotgw.spool import Spool, SpoolState
from iotgw.statistics import Statistics


class Backlog:
    """Batches in the order they came, taken out at the front when there is room in flight."""

    def __init__(
        self,
        spool: Spool,
        statistics: Statistics,
        most_waiting: tuple[int, int],
        on_change: Callable[[], None],
        on_read: Callable[[list[Batch]], None],
    ) -> None:
        self._spool = spool
        self._statistics = statistics
        self._most_messages, self._most_bytes = most_waiting
        self._on_change = on_change
        self._on_read = on_read
        self._held: deque[Batch] = deque()
        self._in_spool = 0
        self._is_reading = False
        self._waiting: dict[str, dict[int, Entry]] = {}
        self._waiting_messages = self._waiting_bytes = 0
        spool.on_found = self._found

    def __bool__(self) -> bool:
        """Whether what comes now has to go behind something."""
        return bool(self._held) or self._is_behind

    @property
    def _is_behind(self) -> bool:
        """Whether older batches are on the disk. For a disk that does not give them back nobody waits."""
        return bool(self._in_spool or self._is_reading) and self._spool.state is not SpoolState.UNAVAILABLE

    @property
    def held(self) -> int:
        """Batches in memory that are neither in flight nor on the disk."""
        return len(self._held)

    def snapshot(self) -> dict[str, int | str]:
        return {
            "spool": self._spool.state.value,
            "spool_batches": self._in_spool,
            "spool_bytes": self._spool.size,
            "batches_held": len(self._held),
            "messages_waiting": self._waiting_messages,
        }

    def put(self, batch: Batch) -> None:
        """Behind everything else."""
        self._held.append(batch)
        self.secure(batch)

    def secure(self, batch: Batch) -> None:
        """Have a batch in the spool, whether it is in flight or held."""
        if not batch.is_spooled:
            self._spool.write(batch).addCallback(self._written, batch)

    def take(self) -> Batch | None:
        """The next batch, if it is still in memory."""
        return self._held.popleft() if self._held and not self._is_behind else None

    def fetch(self, count: int) -> None:
        """Have the oldest batches read, if they are on the disk."""
        wanted = min(count, self._in_spool)
        if wanted > 0 and not self._is_reading:
            self._is_reading = True
            reading: Deferred[list[Batch]] = self._spool.read(wanted)
            reading.addCallback(self._read, wanted)

    def committed(self, batch: Batch) -> None:
        """Its receipt has come."""
        batch.is_committed = True
        if batch.place is not None:
            self._spool.done(batch.place)

    def _found(self, found: int) -> None:
        self._in_spool += found
        self._on_change()

    def _written(self, place: Place | None, batch: Batch) -> None:
        if place is None:
            return
        batch.place = place
        let_in = batch.let_in()
        if self._held and self._held[0] is batch:
            self._held.popleft()
            self._in_spool += 1
            is_forgotten = True
        else:
            is_forgotten = False
            self._spool.skip(place)
            if batch.is_committed:
                self._spool.done(place)
        self._statistics.count("messages.spooled", len(let_in))
        answer(let_in, self._statistics)
        if is_forgotten:
            self._keep_waiting(batch)
        self._on_change()

    def _keep_waiting(self, batch: Batch) -> None:
        """Remember who is not answered yet: what is in the spool is no longer in memory."""
        waiting = {index: entry for index, entry in enumerate(batch.entries) if entry.origin is not None}
        size = sum(len(entry.payload.body) for entry in waiting.values())
        if not waiting:
            return
        if self._waiting_messages + len(waiting) > self._most_messages or self._waiting_bytes + size > self._most_bytes:
            self._statistics.count("messages.unanswered", len(waiting))
            return
        self._waiting[batch.id] = waiting
        self._waiting_messages += len(waiting)
        self._waiting_bytes += size

    def _read(self, batches: list[Batch], wanted: int) -> None:
        self._is_reading = False
        # Fewer come when some were damaged; then it is asked for what is not there until the count is right again.
        self._in_spool -= wanted
        self._statistics.count("spool.read", len(batches))
        for batch in batches:
            waiting = self._waiting.pop(batch.id, {})
            for index, entry in waiting.items():
                batch.entries[index] = entry
                self._waiting_bytes -= len(entry.payload.body)
            self._waiting_messages -= len(waiting)
        if not self._in_spool:
            # Whatever somebody waits for still has been damaged.
            self._waiting.clear()
            self._waiting_messages = self._waiting_bytes = 0
        self._on_read(batches)
        self._on_change()
