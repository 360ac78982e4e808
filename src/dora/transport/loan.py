"""A loan: memory of the sender's arena that the user fills in place and then sends.

Made by `transport.sender`. Elsewhere: what the user has of it (`node.samples`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import weakref

    from dora.transport.sender import Sender


class Loan:
    """A slot lent to the user, who writes the payload in place.

    Counts as one holder of its slot until it is collected, so that an array the user still has is
    never overwritten. NumPy reads it through `__array_interface__` and keeps it as the base.
    """

    def __init__(self, sender: Sender, slot: int, memory: memoryview, address: int) -> None:
        self.slot = slot
        self.size = len(memory)
        self.memory = memory
        self.address = address
        self.sent = False
        self.array: weakref.ref[Any] | None = None
        """What was made of it for the user, if an array."""
        self.sender = sender
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "shape": (self.size,),
            "typestr": "|u1",
            "data": (address, False),
        }

    def __del__(self) -> None:
        # Any thread, any moment, perhaps while the sender's lock is held: only leave a note.
        self.sender.dropped_loans.append(self.slot)
