"""Puts the stand-in for dora-rs into the wheel of dora, so that node packages bring no other one.

Its facts lie among the data of the wheel, from where installers put them beside those of dora; an
editable wheel has them too. Elsewhere: why there is a stand-in (`src/dora/building/stand_in.py`).
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StandIn(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the files of the stand-in."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them before the wheel is made."""
        sys.path.insert(0, str(Path(self.root, "src")))
        from dora.building.stand_in import stand_in

        self._folder = tempfile.TemporaryDirectory()
        with zipfile.ZipFile(io.BytesIO(stand_in().content)) as archive:
            archive.extractall(self._folder.name)
            names = archive.namelist()
        data = f"{self.build_config.builder.artifact_project_id}.data/purelib"
        added = {str(Path(self._folder.name, name)): f"{data}/{name}" for name in names}
        for key in ("force_include", "force_include_editable"):
            build_data.setdefault(key, {}).update(added)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was only for making the wheel."""
        self._folder.cleanup()
