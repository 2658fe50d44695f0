"""What devices are told to do: asked for once, sent at the most as often as is safe, and known to its end.

ask ──▶ queued ── a gateway may write it ──▶ sent ─┬─ the device says so ─▶ acknowledged, failed
          │  ▲                                     ├─ nothing is heard, and twice does no harm ─▶ queued
          │  └── no byte of it was written ────────┤
          │                                        └─ nothing is heard ─▶ failed (no_answer)
          └── cancelled; expired; failed (its condition does not hold, or it cannot be made)

:mod:`asking` checks what is asked for. :mod:`moves` says what a move is; those of gateways are in :mod:`leaving`, those of devices
in :mod:`answers`, all others in :mod:`ledger`. :mod:`turns` says what may leave, :mod:`lists` shows it. What is to be told to a
gateway goes by ``due_at``, in the transaction that changes the row: it is not lost between database and broker.
"""
