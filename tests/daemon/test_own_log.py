"""The daemon's own words in a file beside those of the nodes."""

from __future__ import annotations

import json
from pathlib import Path

from dora.daemon.own_log import OwnLog


def test_notices_stand_in_rows_like_those_of_nodes(tmp_path: Path) -> None:
    log = OwnLog(tmp_path / "out" / "id")
    log.lines([])
    log.notice("warn", "slow")
    log.notice("info", "stopping")
    log.close()
    rows = [
        json.loads(row) for row in (tmp_path / "out/id/log_dora.jsonl").read_text().splitlines()
    ]
    assert [(row["node"], row["level"], row["msg"]) for row in rows] == [
        ("dora", "warn", "slow"),
        ("dora", "info", "stopping"),
    ]
    assert list(rows[0]) == ["ts", "level", "node", "stream", "msg", "target", "fields"]


def test_a_folder_that_cannot_be_written_is_left_alone() -> None:
    log = OwnLog(Path("/proc/no/such"))
    log.notice("warn", "slow")
    log.notice("warn", "slow")
    log.close()
