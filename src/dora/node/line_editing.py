"""Lines typed at a terminal: history and completion for each prompt, and printing beside them.

Uses the standard library's readline, where Python has it. Elsewhere: what lines mean
(`node.typed_input`).
"""

from __future__ import annotations

import glob
import os
import sys
import threading

_CLEAR_LINE = "\r\x1b[K"
_FILE = "FILE:"


class LineEditor:
    """Asks in one thread; any thread may `say` something, which leaves the prompt below it."""

    def __init__(self) -> None:
        self.asking: str | None = None
        """The prompt that was not answered yet."""
        self._hidden = False
        self._saying = threading.RLock()  # a signal handler may speak in between
        self._histories: dict[str, list[str]] = {}
        self._found: list[str] = []
        try:
            import readline
        except ImportError:  # some builds of Python lack it: no history then
            self._readline = None
            return
        self._readline = readline
        readline.set_auto_history(False)
        readline.set_completer(self._complete)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")

    def ask(self, prompt: str) -> str | None:
        """What is typed; None at its end (Ctrl-D)."""
        if self._readline is not None:
            self._readline.clear_history()
            for line in self._histories.get(prompt, ()):
                self._readline.add_history(line)
        with self._saying:
            sys.stdout.flush()
            self.asking, self._hidden = prompt, False
        try:
            return input(prompt)
        except EOFError:
            print()
            return None
        finally:
            self.asking = None

    def remember(self, prompt: str, line: str) -> None:
        """Offer this again at this prompt."""
        history = self._histories.setdefault(prompt, [])
        if line in history:
            history.remove(line)
        history.append(line)

    def say(self, text: str) -> None:
        """Print; a prompt that stands there moves down."""
        with self._saying:
            standing = self.asking is not None and not self._hidden
            self._hide()
            print(text, flush=True)
            if standing:
                self._show()

    def hide(self, instead: str = _CLEAR_LINE) -> None:
        """Make room for whatever else is printed, until `show`; what was typed is kept."""
        if self.asking is not None:
            with self._saying:
                self._hide(instead)

    def show(self) -> None:
        """Have the prompt stand there again."""
        if self._hidden:
            with self._saying:
                self._show()

    def leave(self) -> None:
        """The prompt that was not answered never will be."""
        with self._saying:
            if self.asking is not None and not self._hidden:
                print(flush=True)
            self.asking = None

    def _hide(self, instead: str = _CLEAR_LINE) -> None:
        if self.asking is not None and not self._hidden:
            print(instead, end="", flush=True)
            self._hidden = True

    def _show(self) -> None:
        if self.asking is not None and self._hidden:
            typed = "" if self._readline is None else self._readline.get_line_buffer()
            print(f"{self.asking}{typed}", end="", flush=True)
        self._hidden = False

    def _complete(self, start: str, number: int) -> str | None:
        if number == 0:
            prompt = self.asking or ""
            history = self._histories.get(prompt, ())
            known = sorted({line.split()[0] for line in history})
            if start.startswith(":"):
                known = [":help", ":meta ", ":timer ", ":close "]
            if start.startswith(_FILE):
                pattern = glob.escape(start.removeprefix(_FILE)) + "*"
                known = [
                    _FILE + name + ("/" if os.path.isdir(name) else "")
                    for name in sorted(glob.glob(pattern))
                ]
            self._found = [line for line in known if line.startswith(start)]
        return self._found[number] if number < len(self._found) else None
