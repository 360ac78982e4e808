"""`dora run`: one dataflow in the foreground, then on stderr its failures and its summary.

Elsewhere: running it and showing its lines (`running.foreground`), flags (`cli.main`).
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from dora.running.foreground import Foreground

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.launch import Launched
    from dora.descriptor.plan import Plan
    from dora.running.companion import Companion
    from dora.running.options import RunOptions


def run_flow(plan: Plan, options: RunOptions) -> int:
    """Run a dataflow until it ends; the exit status of the command.

    The object of click's context, if there is one, goes along: that of `dora record`.

    Raises:
        DescriptorLimitError: the dataflow needs more descriptors than are allowed.
        DoraError: the companion cannot join, or the web page cannot be served.
    """
    from dora.daemon.report import failure_text, summary_text

    context = click.get_current_context(silent=True)
    companion: Companion | None = None if context is None else context.obj
    with ExitStack() as meanwhile:
        started = _with_page(meanwhile) if options.web else _tell_by_hand
        outcome = Foreground(plan, options, started, companion).run()
    return tell_end("" if outcome.ok else failure_text(outcome), summary_text(outcome))


def _with_page(meanwhile: ExitStack) -> Callable[[Launched], None]:
    """What is to be done when the nodes were started; the page goes when the run is over."""
    from dora.cli.web import open_listener
    from dora.web.child import PageProcess

    listener = meanwhile.enter_context(open_listener())

    def started(launched: Launched) -> None:
        _tell_by_hand(launched)
        meanwhile.enter_context(PageProcess(listener, launched.dataflow_id))

    return started


def _tell_by_hand(launched: Launched) -> None:
    """Tell the user what to type for nodes that are theirs to start."""
    if launched.by_hand:
        from dora.cli.debug import told

        print(told(launched.by_hand), file=sys.stderr, flush=True)


def tell_end(failures: str, summary: str) -> int:
    """Tell how a dataflow ended; the exit status of the command."""
    text = f"{summary}\n" if summary else ""
    if failures:
        text = f"\n[ERROR] {failures}\n\n{text}"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        # Nobody listens; without this, Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return 1 if failures else 0
