"""The `dora-rs` that holds no file: published node packages require one, and dora is it.

The real one would overwrite our files, as both import as `dora`. The stand-in has the version of
the release of dora-rs that this dora stands for, with a local part: installers take it for newer
than the real one, and `dora-rs==<its version>` can be met by nothing else.

Every wheel of dora brings it along, by `hatch_build.py`, which runs before anything is installed:
so this module needs the standard library only. Elsewhere: putting it where it is missing
(`building.environment`).
"""

from __future__ import annotations

from dora.building.wheels import Wheel, make_wheel

RELEASE = "1.1.0"
"""The release of dora-rs that programs find here."""

LABEL = "+dora.py"
"""Marks the versions of stand-ins."""

STAND_IN = f"dora-rs=={RELEASE}{LABEL}"
"""The requirement that only the stand-in meets."""

_METADATA = f"""\
Metadata-Version: 2.1
Name: dora-rs
Version: {RELEASE}{LABEL}
Summary: Stands for dora-rs where dora-py provides the module `dora`. Holds no files.
License: Apache-2.0
"""


def stand_in() -> Wheel:
    """The stand-in as a wheel."""
    return make_wheel("dora-rs", f"{RELEASE}{LABEL}", _METADATA, {})
