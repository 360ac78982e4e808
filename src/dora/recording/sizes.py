"""Numbers of bytes for people."""

from __future__ import annotations


def human_bytes(size: int) -> str:
    """`512 B`, `1.5 KB`, `34.2 MB`, `1.08 GB`: three figures, units of a thousand."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("KB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {unit}"
