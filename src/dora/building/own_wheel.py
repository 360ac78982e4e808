"""dora itself as a wheel, packed from the files that run.

So a node's own environment has exactly the dora that runs the dataflow, also when that was never
published. Its version tells what is in it: two that differ in a byte differ in their version.

Used by `building.environment`. Elsewhere: the format (`building.wheels`).
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import dora.version
from dora.building.wheels import Wheel, make_wheel
from dora.errors import DoraError

_DISTRIBUTION = "dora-py"


def own_version() -> str:
    """The version of `own_wheel()`: the release, and what its files are."""
    return _version(_own_files())


def own_wheel() -> Wheel:
    """This dora as a wheel.

    Raises:
        DoraError: dora runs from files that were never installed.
    """
    files = _own_files()
    try:
        installed = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError as exc:
        raise DoraError(
            "dora is not installed, so it does not know what it needs; "
            "install it, e.g. with `pip install -e .` in its folder"
        ) from exc
    version = _version(files)
    told = installed.read_text("METADATA") or ""
    replaced = told.replace(f"\nVersion: {installed.version}\n", f"\nVersion: {version}\n", 1)
    for name in ("entry_points.txt", "licenses/LICENSE"):
        if text := installed.read_text(name):
            files[f"dist-info/{name}"] = text.encode()
    return make_wheel(_DISTRIBUTION, version, replaced, files)


def _own_files() -> dict[str, bytes]:
    package = Path(dora.version.__file__).parent
    return {
        str(path.relative_to(package.parent)): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _version(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, raw in sorted(files.items()):
        digest.update(f"{path}\0{len(raw)}\0".encode())
        digest.update(raw)
    return f"{dora.version.VERSION}+{digest.hexdigest()[:12]}"
