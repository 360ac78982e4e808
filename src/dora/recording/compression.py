"""Chunks made smaller, and back: `zstd`, `lz4` or not at all. Libraries load on first use."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from dora.errors import DoraError

if TYPE_CHECKING:
    from collections.abc import Callable

COMPRESSIONS = ("none", "lz4", "zstd")
_ZSTD_LEVEL = 1


def compressor(name: str) -> Callable[[bytes], bytes] | None:
    """What makes chunks smaller; None for `none`.

    Raises:
        DoraError: its library is not installed.
    """
    if name == "lz4":
        lz4 = _lz4()
        compress: Callable[[bytes], bytes] = lz4.compress
        return compress
    if name == "zstd":
        made: Callable[[bytes], bytes] = _zstd().ZstdCompressor(level=_ZSTD_LEVEL).compress
        return made
    return None


def decompressed(name: str, data: memoryview, size: int) -> memoryview:
    """A chunk's bytes as they were.

    Args:
        name: As the file names it: empty for none.
        data: The chunk.
        size: How many bytes it was.

    Raises:
        ValueError: the bytes are damaged, or of a compression that is not known.
        DoraError: its library is not installed.
    """
    if not name:
        return data
    try:
        if name == "zstd":
            zstd = _zstd()
            raw = zstd.ZstdDecompressor().decompress(data, max_output_size=size)
        elif name == "lz4":
            raw = _lz4().decompress(data)
        else:
            raise ValueError(f"compressed by `{name}`, which is not known")
    except (RuntimeError, MemoryError) as exc:
        raise ValueError(str(exc)) from exc
    except Exception as exc:
        if type(exc).__name__ != "ZstdError":
            raise
        raise ValueError(str(exc)) from exc
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes where {size} were written")
    return memoryview(raw)


@functools.cache
def _zstd() -> Any:
    try:
        import zstandard
    except ImportError as exc:
        raise missing("zstandard") from exc
    return zstandard


@functools.cache
def _lz4() -> Any:
    try:
        import lz4.frame
    except ImportError as exc:
        raise missing("lz4") from exc
    return lz4.frame


def missing(library: str) -> DoraError:
    """What to tell when a library of recordings is not installed."""
    return DoraError(f"recordings need `{library}`: pip install 'dora-py[record]'")
