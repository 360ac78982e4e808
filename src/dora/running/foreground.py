"""One dataflow from launch to outcome, in the foreground: its lines shown, its signals heeded.

Where it runs in the main thread, SIGINT, SIGTERM and SIGHUP ask it to stop. A thread whose event
loop runs already, as in a notebook, waits while another one serves; Ctrl-C stops it too.

Elsewhere: the dataflow itself (`daemon.server`), showing lines (`running.screen`), what is said in
the end (`cli.run`, `running.calls`).
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from dora.daemon.launch import launch
from dora.daemon.traces import asked_rate

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from dora.daemon.launch import Launched
    from dora.daemon.report import Outcome
    from dora.daemon.server import Server
    from dora.descriptor.plan import Plan
    from dora.running.companion import Companion
    from dora.running.options import RunOptions

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Foreground:
    """Runs one plan, once.

    Args:
        plan: What to run.
        options: How, and what to show.
        on_launched: Called when the processes have been started.
        companion: Who is to be there before the first message.
    """

    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        on_launched: Callable[[Launched], None] = lambda _launched: None,
        companion: Companion | None = None,
    ) -> None:
        self._plan = plan
        self._options = options
        self._on_launched = on_launched
        self._companion = companion
        self._lock = threading.Lock()
        self._asked: list[str] = []
        """Why it was asked to stop before it could be told."""
        self._serving: tuple[asyncio.AbstractEventLoop, Server] | None = None

    def run(self) -> Outcome:
        """Run until the dataflow is over.

        Raises:
            DescriptorLimitError: the dataflow needs more descriptors than are allowed.
        """
        if threading.current_thread() is not threading.main_thread():
            return self._run([])
        # A shell lets what it puts into the background ignore SIGINT, but whoever sends one means
        # it. One that ignores SIGHUP was started by `nohup`.
        heeded = [
            number
            for number in _STOP_SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        ]
        previous = {number: signal.getsignal(number) for number in heeded}

        def note(number: int, _frame: FrameType | None) -> None:
            self._asked.append(_named(number))

        for number in heeded:
            signal.signal(number, note)
        try:
            return self._run(heeded)
        finally:
            for number in heeded:
                signal.signal(number, previous[number])

    def run_aside(self) -> Outcome:
        """Run in a thread of its own, for a caller in whose thread an event loop runs already.

        Raises:
            DescriptorLimitError: the dataflow needs more descriptors than are allowed.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, "dora.run") as pool:
            running = pool.submit(self._run, [])
            while True:
                try:
                    return running.result()
                except KeyboardInterrupt:
                    self.ask_stop("Ctrl-C")

    def ask_stop(self, why: str) -> None:
        """Ask the dataflow to end; again, to hurry. Any thread may call this."""
        with self._lock:
            if self._serving is None:
                self._asked.append(why)
                return
            loop, server = self._serving
            loop.call_soon_threadsafe(server.ask_stop, why)

    def _run(self, heeded: list[signal.Signals]) -> Outcome:
        self._trace_hz = asked_rate()
        launched = launch(self._plan)
        self._on_launched(launched)
        # Loaded only now, while the nodes load: this takes longer than spawning them.
        import asyncio

        return asyncio.run(self._serve(launched, heeded))

    async def _serve(self, launched: Launched, heeded: list[signal.Signals]) -> Outcome:
        import asyncio

        from dora.daemon.server import Server
        from dora.daemon.settings import Settings
        from dora.running.companion import go_along
        from dora.running.progress import Progress
        from dora.running.screen import open_screen
        from dora.running.starting import show_start

        loop = asyncio.get_running_loop()
        progress = Progress(sys.stderr)
        screen = open_screen(
            loop,
            self._options,
            launched.dataflow_id,
            lambda: server.ask_stop("nobody reads its output any more"),
            progress.clear,
        )
        companion = self._companion
        settings = Settings(
            hot_reload=self._options.hot_reload,
            held=companion is not None,
            trace_hz=self._trace_hz,
        )
        server = Server(launched, screen, settings=settings)
        going_along = loop.create_task(go_along(companion, server, launched.dataflow_id, progress))
        show_start(loop, progress, server.awaited)
        for number in heeded:
            loop.add_signal_handler(number, server.ask_stop, _named(number))
        with self._lock:
            self._serving = loop, server
            for why in self._asked:
                loop.call_soon(server.ask_stop, why)
        if self._options.stop_after_s is not None:
            server.stop_after(self._options.stop_after_s)
        try:
            outcome = await server.run()
            if going_along.done():
                going_along.result()
            return outcome
        finally:
            going_along.cancel()
            with self._lock:
                self._serving = None
            for number in heeded:
                loop.remove_signal_handler(number)
            progress.clear()
            screen.finish()


def _named(number: int) -> str:
    """A signal as the notice names it."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
