"""The virtual clock of a simulated node: `time.time`, `time.monotonic`, `time.sleep`, asyncio.

In a simulated process these follow the simulation: time stands still while the node computes, and
`time.sleep` lets it pass. `time.perf_counter` stays real, to measure with; so does
`datetime.now()`, which cannot be replaced, and what the standard library's own threads wait by.
In a forked child, and once the simulation is gone, time goes on by itself from where it stood.

Installed by `node.joining` before the node's own code reads a clock. Elsewhere: who moves the
clock (`node.simulated_line`), asyncio's loop (`node.simulated_loop`).
"""

from __future__ import annotations

import math
import os
import queue  # noqa: F401 (its timeouts are real: it takes a copy of the clock when imported)
import sys
import threading  # noqa: F401 (likewise)
import time
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, SupportsIndex

from dora.wire.simulation import START_NS

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_NS = 1000 * 10**9
"""What the monotonic clock says when virtual time is 0: a machine that runs for a while."""

_NS = 10**9

_real_sleep = time.sleep
_real_ns = time.monotonic_ns


class Clock:
    """Virtual time, and how to let it pass."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.start_ns = START_NS
        """The wall clock when `now_ns` is 0."""
        self.pause: Callable[[int], None] | None = None
        """Waits for so many virtual nanoseconds; None while there is no simulation to ask."""
        self._let_go_ns: int | None = None

    def let_go(self) -> None:
        """Nobody moves the clock any more: it goes by itself, as fast as the real one."""
        self.pause = None
        if self._let_go_ns is None:
            self._let_go_ns = _real_ns()

    def _now_ns(self) -> int:
        return self.now_ns + (0 if self._let_go_ns is None else _real_ns() - self._let_go_ns)

    def sleep(self, seconds: float | SupportsIndex, /) -> None:
        """What `time.sleep` is in a simulated process."""
        length_s = float(seconds)
        if self.pause is None or not 0 <= length_s < math.inf:
            _real_sleep(length_s)  # says what is wrong with such a number
            return
        self.pause(round(length_s * _NS))

    def wall_ns(self) -> int:
        """What `time.time_ns` is."""
        return self.start_ns + self._now_ns()

    def wall(self) -> float:
        """What `time.time` is."""
        return self.wall_ns() / _NS

    def monotonic_ns(self) -> int:
        """What `time.monotonic_ns` is."""
        return _BOOT_NS + self._now_ns()

    def monotonic(self) -> float:
        """What `time.monotonic` is."""
        return self.monotonic_ns() / _NS


clock = Clock()
"""This process's."""


def install(start_ns: int = START_NS) -> None:
    """Put the virtual clock in the place of the real one, for the whole process.

    Also where a module of the user's has taken a function by its name already: `from time import
    sleep` above `from dora import Node`.

    Args:
        start_ns: The wall clock when virtual time is 0, in nanoseconds since 1970.
    """
    clock.start_ns = start_ns
    replaced = {
        getattr(time, name): virtual
        for name, virtual in (
            ("sleep", clock.sleep),
            ("time", clock.wall),
            ("time_ns", clock.wall_ns),
            ("monotonic", clock.monotonic),
            ("monotonic_ns", clock.monotonic_ns),
        )
    }
    for module in (time, *_modules_of_users()):
        for name, value in list(vars(module).items()):
            if isinstance(value, BuiltinFunctionType) and value in replaced:
                setattr(module, name, replaced[value])
    os.register_at_fork(after_in_child=clock.let_go)


def _modules_of_users() -> list[ModuleType]:
    """What is loaded so far, but for the standard library and dora."""
    others = sys.stdlib_module_names | {"dora"}
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in others and isinstance(module, ModuleType)
    ]
