"""JSON log records: a constant event name and fields. Never a prompt, a completion, a key or a presigned URL."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

_log = logging.getLogger("slacktide.transform")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record; an exception is named by its type alone, since its text can quote a request."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if record.name == _log.name else record.name,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = record.exc_info[0].__name__
            entry["at"] = _innermost_frame(record)
        return msgspec.json.encode(entry).decode()


def _innermost_frame(record: logging.LogRecord) -> str:
    frame = record.exc_info[2] if record.exc_info else None
    while frame and frame.tb_next:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""


def configure_logs() -> None:
    """Send every log record of this process to the standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log_event(event: str, level: int = logging.INFO, /, *, exc_info: bool = False, **fields: object) -> None:
    """Log a constant event name with fields that hold counts, durations, ids of ours and statuses."""
    _log.log(level, event, extra={"fields": fields}, exc_info=exc_info)
