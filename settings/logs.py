"""One form of log lines for every process: text for people or one JSON object a line for machines."""

from __future__ import annotations

import logging
import sys

import structlog

from settings.model import LogFormat, Settings

CHATTY = ("twisted", "celery.app.trace", "celery.worker.strategy", "kombu", "redis")
"""Libraries that tell of every task and every connection: they are heard from warnings on."""


def _without_payload(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Celery attaches a task's arguments to its log records; they hold what devices sent, secrets included."""
    event.pop("data", None)
    return event


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    _without_payload,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(settings: Settings) -> None:
    """Send what this process logs to standard error, in the form that the settings ask for."""
    renderers: list[structlog.typing.Processor]
    if settings.log_format is LogFormat.JSON:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # The renderer's own choice of traceback shows local variables, and among those are passwords.
        plain = structlog.dev.plain_traceback
        renderers = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False, exception_formatter=plain)
        ]
    structured = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(structured)
    # When standard error is gone, its loss cannot be told to standard error; trying to, under a runner that logs what
    # is written there, would never end.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(settings.log_level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING) if root.level > logging.DEBUG else logging.DEBUG)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
