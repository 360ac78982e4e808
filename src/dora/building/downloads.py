"""A node's program from an address: fetched whole, checked, made executable.

A file that has the hash it should have is not fetched again. Beside the file a note says where it
came from, since another address may end in the same name.

Used by `building.dataflow`. Elsewhere: where it lies (`descriptor.remote`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from dora.building.commands import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import Download

_SILENCE_S = 60.0


def is_there(download: Download) -> bool:
    """Whether the file lies there and is the one that is meant, as far as can be told."""
    if not download.file.is_file():
        return False
    if download.sha256 is not None:
        return _sha256(download.file) == download.sha256
    note = _note(download)
    return note.is_file() and note.read_text(encoding="utf-8") == download.url


def fetch(who: str, download: Download) -> None:
    """Put the file where it is to lie.

    Raises:
        BuildError: it cannot be fetched, or it is not the file whose hash is given.
    """
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    half = download.file.with_name(f".{download.file.name}.{os.getpid()}")
    try:
        half.parent.mkdir(parents=True, exist_ok=True)
        request = Request(download.url, headers={"User-Agent": "dora"})
        with urlopen(request, timeout=_SILENCE_S) as answer, half.open("wb") as file:
            shutil.copyfileobj(answer, file)
            if answer.length:  # Of its body; the library does not mind when some is missing.
                raise BuildError(
                    f"{who}: `{download.url}` broke off: {answer.length} bytes are missing"
                )
        if download.sha256 and (found := _sha256(half)) != download.sha256:
            raise BuildError(
                f"{who}: `{download.url}` is not the file it should be: its SHA-256 is {found}, "
                f"and `path_sha256` says {download.sha256}"
            )
        half.chmod(0o755)
        _note(download).unlink(missing_ok=True)  # Never beside a file from elsewhere.
        half.rename(download.file)
        _note(download).write_text(download.url, encoding="utf-8")
    except (OSError, HTTPException) as exc:
        raise BuildError(f"{who}: `{download.url}` cannot be fetched: {exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            half.unlink()


def _note(download: Download) -> Path:
    """The file that says where the program came from."""
    return download.file.with_name(f".{download.file.name}.from")


def _sha256(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()
