"""A wheel made from given files: names, records, bytes.

Made without any build tool, since what goes in is at hand: our own modules, or nothing but a name.
The same files give the same bytes. Pure.

Used by `building.own_wheel` and `building.stand_in`, which know what to put in. Elsewhere:
installing (`building.environment`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: dora\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Wheel(NamedTuple):
    """A wheel for every Python and every machine."""

    file_name: str
    content: bytes


def make_wheel(name: str, version: str, metadata: str, files: Mapping[str, bytes]) -> Wheel:
    """Pack a distribution.

    Args:
        name: The distribution's name.
        version: Its version; a local part (`+…`) is allowed.
        metadata: The text of `METADATA`, name and version included.
        files: What is installed, by its path in the environment's packages; what begins with
            `dist-info/` goes into the folder of the distribution's own facts.
    """
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    info = f"{stem}.dist-info"
    entries = {
        (
            f"{info}/{path.removeprefix('dist-info/')}" if path.startswith("dist-info/") else path
        ): raw
        for path, raw in files.items()
    }
    entries[f"{info}/METADATA"] = metadata.encode()
    entries[f"{info}/WHEEL"] = _WHEEL.encode()
    record = f"{info}/RECORD"
    lines = [f"{path},sha256={_digest(raw)},{len(raw)}\n" for path, raw in sorted(entries.items())]
    entries[record] = "".join([*lines, f"{record},,\n"]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(entries, key=lambda path: (path == record, path)):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), entries[path])
    return Wheel(f"{stem}-py3-none-any.whl", packed.getvalue())


def _digest(raw: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
