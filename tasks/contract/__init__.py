"""What the gateway and the workers agree on: names of tasks and queues, payloads, what mailboxes hold, names in Redis.

Imports nothing heavy, so that a gateway's host needs neither Django nor a database driver.
"""

from tasks.contract.calls import (
    CALL_PREFIX,
    REPLY_BYTES,
    REPLY_FIELD,
    REPLY_TEXT,
    Fault,
    Reply,
    call_id,
    calling_gateway,
    pack_reply,
    unpack_reply,
)
from tasks.contract.ingest import (
    RECEIPT_FIELD,
    IngestMessage,
    Receipt,
    ingest_messages,
    ingest_payload,
    pack_receipt,
    unpack_receipt,
)
from tasks.contract.mailboxes import (
    MAILBOX_EXPIRY_SECONDS,
    MAILBOX_LENGTH,
    BadPayloadError,
    mailbox,
)
from tasks.contract.queues import (
    DEFAULT_QUEUE,
    EXCHANGE,
    INGEST_QUEUE,
    INGEST_TASK,
    QUEUES,
    SUMMARY_TASK,
    celery_configuration,
)
from tasks.contract.routes import (
    ALIVE,
    KICK_FIELD,
    LAST_RUN,
    ROUTES,
    ROUTES_SWEPT,
    Kick,
    route_field,
    unpack_kicks,
)

__all__ = [
    "ALIVE",
    "CALL_PREFIX",
    "DEFAULT_QUEUE",
    "EXCHANGE",
    "INGEST_QUEUE",
    "INGEST_TASK",
    "KICK_FIELD",
    "LAST_RUN",
    "MAILBOX_EXPIRY_SECONDS",
    "MAILBOX_LENGTH",
    "QUEUES",
    "RECEIPT_FIELD",
    "REPLY_BYTES",
    "REPLY_FIELD",
    "REPLY_TEXT",
    "ROUTES",
    "ROUTES_SWEPT",
    "SUMMARY_TASK",
    "BadPayloadError",
    "Fault",
    "IngestMessage",
    "Kick",
    "Receipt",
    "Reply",
    "call_id",
    "calling_gateway",
    "celery_configuration",
    "ingest_messages",
    "ingest_payload",
    "mailbox",
    "pack_receipt",
    "pack_reply",
    "route_field",
    "unpack_kicks",
    "unpack_receipt",
    "unpack_reply",
]
