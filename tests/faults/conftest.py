"""The table of faults: what was measured, shown after the long version (`make test-faults`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fault_rig import LONG

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Note a row of the table: the fault, and the figures of it."""
    return lambda fault, figures: record_property("fault", (fault, figures))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the table."""
    if not LONG:
        return
    rows = [
        (*row, "held" if report.passed else "BROKEN", f"{report.duration:.0f} s")
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, row in report.user_properties
        if name == "fault"
    ]
    terminalreporter.section("faults")
    for fault, figures, verdict, took in rows:
        terminalreporter.line(f"| {fault} | {figures} | {verdict}, {took} |")
