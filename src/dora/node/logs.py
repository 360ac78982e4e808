"""A node's log lines: one JSON object each on stdout, which the daemon shows, files and forwards.

The standard library's `logging` works as a user expects: with nothing configured, INFO and above
are visible; `logging.basicConfig(level=logging.DEBUG)` shows DEBUG too, called before or after
`Node()`; handlers that a user set up are left alone. Elsewhere: what becomes of the lines
(`daemon.logs`).
"""

from __future__ import annotations

import functools
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LEVELS = frozenset({"error", "warn", "info", "debug", "trace"})
_MAX_FIELDS_BYTES = 60_000
_LOOKS = frozenset({"format", "datefmt", "style", "filename", "stream", "handlers", "force"})
"""Arguments of `basicConfig` by which a user asks for output of their own."""

_plainly = False
"""Whether a person reads the lines, and no daemon."""


class HostHandler(logging.Handler):
    """Writes records as JSON lines to stdout, in dora-rs's shape."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record that cannot be formatted is reported by `logging` itself."""
        try:
            message = record.getMessage()
            if record.exc_info:
                formatter = self.formatter or logging.Formatter()
                message = f"{message}\n{formatter.formatException(record.exc_info)}"
            _write(
                {
                    "timestamp": _utc_text(record.created),
                    "level": _level_name(record.levelno),
                    "fields": {
                        "message": message,
                        "file": record.pathname,
                        "line": record.lineno,
                        "target": record.name,
                    },
                    "target": record.name,
                }
            )
        except Exception:
            self.handleError(record)


def install() -> None:
    """Make `logging` speak to the daemon unless the user has configured it. Twice is fine."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if _is_plain(handler):  # `basicConfig` before `Node()`: same lines as after it
            root.removeHandler(handler)
            root.addHandler(HostHandler(handler.level))
    if not root.handlers:
        root.addHandler(HostHandler())
        if root.level == logging.WARNING:  # Python's default: nobody chose it
            root.setLevel(logging.INFO)
    if not getattr(logging.basicConfig, "_dora", False):
        logging.basicConfig = _wrap(logging.basicConfig)


def speak_plainly() -> None:
    """Write lines for a person to read from now on: this process has no daemon."""
    global _plainly
    _plainly = True


def _is_plain(handler: logging.Handler) -> bool:
    """Whether this is what `basicConfig` makes when no other look is asked for."""
    if type(handler) is not logging.StreamHandler or handler.stream is not sys.stderr:
        return False
    look = handler.formatter
    return type(look) is logging.Formatter and (look._fmt, look.datefmt) == (
        logging.BASIC_FORMAT,
        None,
    )


def _wrap(basic_config: Callable[..., None]) -> Callable[..., None]:
    """`basicConfig` as if our handler were not there yet; it stays unless another look is asked."""

    @functools.wraps(basic_config)
    def configure(**arguments: Any) -> None:
        root = logging.getLogger()
        ours = [handler for handler in root.handlers if isinstance(handler, HostHandler)]
        if len(root.handlers) > len(ours) or not ours:
            basic_config(**arguments)
            return
        if _LOOKS.isdisjoint(arguments):
            basic_config(handlers=ours, force=True, **arguments)
            for handler in ours:
                handler.setFormatter(None)
            return
        for handler in ours:
            root.removeHandler(handler)
        basic_config(**arguments)

    configure._dora = True  # type: ignore[attr-defined]
    return configure


def log(
    node_id: str,
    level: str,
    message: str,
    target: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> None:
    """Write one line as dora-rs's `node.log` does; an unknown level counts as `info`."""
    name = level.lower()
    entry: dict[str, Any] = {
        "timestamp": _utc_text(datetime.now(UTC).timestamp()),
        "level": name if name in _LEVELS else "info",
        "node_id": node_id,
        "message": message,
    }
    if target is not None:
        entry["target"] = target
    if fields:
        texts = {str(key): str(value) for key, value in fields.items()}
        size = sum(len(key) + len(value) for key, value in texts.items())
        if size > _MAX_FIELDS_BYTES:
            entry["fields_dropped"] = f"{size} bytes of fields exceed {_MAX_FIELDS_BYTES}"
        else:
            entry["fields"] = texts
    _write(entry)


def _write(entry: dict[str, Any]) -> None:
    """One whole line at once, so that lines of threads and children do not mix."""
    out = sys.stdout
    if out is None:
        return
    line = _plain(entry) if _plainly else msgspec.json.encode(entry).decode()
    out.write(line + "\n")
    out.flush()


def _plain(entry: Mapping[str, Any]) -> str:
    fields = dict(entry.get("fields", {}))
    message = entry.get("message", fields.get("message", ""))
    target = entry.get("target", "")
    source = f" {target}" if target not in ("", "root") else ""
    own = "" if "message" in fields else "".join(f" {key}={fields[key]}" for key in fields)
    return f"[{entry['level'].lower()}{source}] {message}{own}"


def _utc_text(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _level_name(number: int) -> str:
    if number >= logging.ERROR:
        return "ERROR"
    if number >= logging.WARNING:
        return "WARN"
    if number >= logging.INFO:
        return "INFO"
    if number >= logging.DEBUG:
        return "DEBUG"
    return "TRACE"
