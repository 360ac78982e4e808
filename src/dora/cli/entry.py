"""Where the command `dora` begins: a Ctrl-C while it loads ends it without a traceback.

Elsewhere: all else (`cli.main`).
"""

from __future__ import annotations

import signal


def main() -> int:
    """Run the command line; its exit status."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dora.cli.main import main as run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
