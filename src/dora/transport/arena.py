"""The arena: a sender's shared memory, cut into slots; and a receiver's view of it.

One sealed, sparse memfd for each incarnation of a node: address space is reserved, pages exist
only where they were touched, and the kernel frees all of it when its last holder is gone. Slots are
powers of two, from one page; a slot is free again when every holder gave it back. A slot is known
by its page: its offset divided by 4096.

`Arena` belongs to the sender and is not locked: `transport.sender` calls it under its own lock.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from dora.errors import ArenaFullError
from dora.wire.ticket import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

DEFAULT_ARENA_BYTES = 64 << 30
KEEP_WARM_BYTES = 128 << 20
"""How many bytes of free slots keep their pages."""
_BATCH, _BATCH_ORDER = 8, 4
"""So many slots are cut at once, of up to so many (log2) pages."""


def create_memory(name: str, size_bytes: int) -> int:
    """A new sparse memfd of a fixed size; the caller owns the descriptor."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def reopen_read_only(fd: int) -> int:
    """A new descriptor of the same memory that cannot be mapped for writing."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def map_words(fd: int, size_bytes: int) -> memoryview:
    """Map a board: `uint64[size_bytes // 8]`, shared and writable. Takes `fd` over, closes it."""
    try:
        return memoryview(mmap.mmap(fd, size_bytes)).cast("Q")
    finally:
        os.close(fd)


class Arena:
    """The sender's side: allocates slots and counts who holds them.

    Takes over `fd` and closes it; the mapping lives as long as views of it do.
    """

    def __init__(self, fd: int, arena_id: int, size_bytes: int) -> None:
        self.id = arena_id
        self._map = mmap.mmap(fd, size_bytes)
        os.close(fd)
        self.memory = memoryview(self._map)
        self._pages = size_bytes // PAGE_BYTES
        self._top = 0
        self._order: dict[int, int] = {}
        """Slot -> log2 of its pages; of every slot ever cut."""
        self._holders: dict[int, int] = {}
        self.held_bytes = 0
        """Bytes of the slots that somebody holds."""
        self._warm: dict[int, list[int]] = {}
        self._cold: dict[int, list[int]] = {}
        self._warm_bytes = 0

    def try_allocate(self, size: int) -> int | None:
        """A free slot of at least `size` bytes, held by nobody yet; None when none is at hand.

        None asks the caller to collect what receivers gave back, and then to call `allocate`.
        """
        order = ((size - 1) // PAGE_BYTES).bit_length()
        warm = self._warm.get(order)
        if not warm:
            return None
        self._warm_bytes -= PAGE_BYTES << order
        return warm.pop()

    def allocate(self, size: int) -> int:
        """A free slot of at least `size` bytes, held by nobody yet.

        Raises:
            ArenaFullError: all of the arena's address space is held.
        """
        slot = self.try_allocate(size)
        if slot is not None:
            return slot
        order = ((size - 1) // PAGE_BYTES).bit_length()
        cold = self._cold.get(order)
        if cold:
            return cold.pop()
        if self._top + (1 << order) <= self._pages:
            return self._cut(order)
        slot = self._try_join(order)
        if slot is not None:
            return slot
        raise ArenaFullError(
            f"no room for a message of {size} bytes: the {self._pages * PAGE_BYTES} bytes of this "
            f"node's shared memory are taken by {len(self._holders)} messages that receivers hold; "
            "let go of received values, or copy what must be kept"
        )

    def _cut(self, order: int) -> int:
        """Cut a new slot; of small ones several, so that returns are collected in batches."""
        slot = self._top
        count = 1 if order > _BATCH_ORDER else min(_BATCH, (self._pages - slot) >> order)
        for i in range(count):
            self._order[slot + (i << order)] = order
            if i:
                self.free(slot + (i << order))
        self._top += count << order
        return slot

    def size_of(self, slot: int) -> int:
        """Bytes of a slot."""
        return PAGE_BYTES << self._order[slot]

    def hold(self, slot: int, holders: int) -> None:
        """Note that so many more hold this slot."""
        before = self._holders.get(slot, 0)
        self._holders[slot] = before + holders
        if not before:
            self.held_bytes += PAGE_BYTES << self._order[slot]

    def release(self, slot: int) -> None:
        """One holder gives the slot back; the last one frees it."""
        left = self._holders[slot] - 1
        if left:
            self._holders[slot] = left
            return
        del self._holders[slot]
        self.held_bytes -= PAGE_BYTES << self._order[slot]
        self.free(slot)

    def free(self, slot: int) -> None:
        """Take back a slot that nobody holds."""
        order = self._order[slot]
        self._warm.setdefault(order, []).append(slot)
        self._warm_bytes += PAGE_BYTES << order
        if self._warm_bytes > KEEP_WARM_BYTES:
            self._cool(KEEP_WARM_BYTES)

    @property
    def held(self) -> int:
        """How many slots somebody holds."""
        return len(self._holders)

    def _try_join(self, order: int) -> int | None:
        """Cut a slot out of free ones that lie side by side; None when no row is long enough.

        Comes to pass only once all of the address space was cut, into slots of other sizes.
        """
        self._cool(0)
        rows: list[tuple[int, int]] = []
        ends = {
            slot: slot + (1 << self._order.pop(slot))
            for cold in self._cold.values()
            for slot in cold
        }
        ends[self._top] = self._pages
        for start in sorted(ends):
            if rows and rows[-1][1] == start:
                rows[-1] = (rows[-1][0], ends[start])
            else:
                rows.append((start, ends[start]))
        self._top = self._pages
        self._cold.clear()
        found = None
        for start, end in rows:
            if found is None and end - start >= 1 << order:
                found = start
                self._order[found] = order
                start += 1 << order
            while start < end:
                piece = (end - start).bit_length() - 1
                self._order[start] = piece
                self._cold.setdefault(piece, []).append(start)
                start += 1 << piece
        return found

    def _cool(self, keep_bytes: int) -> None:
        """Give pages of free slots back to the system, largest first, until so few are left."""
        for order in sorted(self._warm, reverse=True):
            warm = self._warm[order]
            size = PAGE_BYTES << order
            while warm and self._warm_bytes > keep_bytes:
                slot = warm.pop(0)
                self._map.madvise(mmap.MADV_REMOVE, slot * PAGE_BYTES, size)
                self._warm_bytes -= size
                self._cold.setdefault(order, []).append(slot)


class ArenaView:
    """The receiver's side: another node's arena, mapped read-only.

    Takes over `fd`; maps on first use. Whatever keeps an `ArenaView` keeps the mapping.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self._size = size_bytes
        self._address = 0
        self._whole: pa.Buffer | None = None
        self._foreign_buffer: Callable[[int, int, object], pa.Buffer] | None = None

    def buffer(self, start: int, size: int, owner: object) -> pa.Buffer:
        """Some bytes where they lie, as a buffer that keeps `owner`."""
        if self._foreign_buffer is None:
            self._map()
        assert self._foreign_buffer is not None
        return self._foreign_buffer(self._address + start, size, owner)

    def read(self, start: int, size: int) -> bytes:
        """A copy of some bytes."""
        copied: bytes = self.buffer(start, size, self).to_pybytes()
        return copied

    def close(self) -> None:
        """Give up the descriptor; a mapping stays until the last view of it is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _map(self) -> None:
        import pyarrow as pa

        self._whole = pa.py_buffer(mmap.mmap(self._fd, self._size, prot=mmap.PROT_READ))
        self.close()
        self._address = self._whole.address
        self._foreign_buffer = pa.foreign_buffer
