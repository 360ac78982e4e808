"""Writing a message where it will lie: `node.loan` and dora-rs's `send_output_raw`.

Elsewhere: the slots themselves (`transport.sender`, `transport.arena`).
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, Any

from dora.errors import PayloadTypeError, SampleError
from dora.transport.loan import Loan

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt

    from dora.transport.sender import Sender


class Lender:
    """Lends memory of one sender's arena as NumPy arrays, and knows its own when it sees them."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._base_address: int | None = None
        self.ever_lent = False
        """Whether an array from here may come back to be sent."""

    def lend(self, size: int) -> Loan:
        """A slot of `size` bytes."""
        if self._base_address is None:
            import numpy as np

            whole = np.frombuffer(self._sender.arena.memory, np.uint8)
            self._base_address = whole.__array_interface__["data"][0]
            self.ever_lent = True
        return self._sender.lend(size, self._base_address)

    def lend_array(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """A writable array that lies in shared memory; see `Node.loan`."""
        import numpy as np

        kind = np.dtype(dtype)
        if kind.hasobject:
            raise PayloadTypeError(
                f"an array of dtype `{kind}` holds Python objects, which cannot lie in shared "
                "memory; ask for a dtype of fixed size, e.g. `U20`"
            )
        sizes = shape if isinstance(shape, Iterable) else (shape,)
        wanted = tuple(map(operator.index, sizes))
        if any(size < 0 for size in wanted):
            raise ValueError(f"the shape {wanted} has a negative dimension")
        loan = self.lend(max(prod(wanted) * kind.itemsize, 1))
        flat: np.ndarray[Any, Any] = np.asarray(loan)
        array: np.ndarray[Any, Any] = np.ndarray(wanted, kind, buffer=flat)
        loan.array = weakref.ref(array)
        return array

    def loan_of(self, array: Any) -> Loan | None:
        """The unsent loan whose memory `array` is, whole and in order; None when it is none."""
        loan = _loan_below(array)
        if loan is None or loan.sent or loan.sender is not self._sender:
            return None
        if not array.flags.c_contiguous or array.nbytes != loan.size:
            return None
        return loan

    @staticmethod
    def seal(array: np.ndarray[Any, Any], loan: Loan) -> None:
        """The loan was sent: receivers read it now, so the sender's array becomes read-only."""
        loan.sent = True
        array.flags.writeable = False
        lent = loan.array() if loan.array is not None else None
        if lent is not None:  # `array` may be a view of it, in another shape
            lent.flags.writeable = False


def _loan_below(array: Any) -> Loan | None:
    base = getattr(array, "base", None)
    while base is not None and not isinstance(base, Loan):
        base = getattr(base, "base", None)
    return base


class SampleHandler:
    """Memory for one raw message, written in place, sent once (dora-rs's `send_output_raw`).

    As a context manager it gives the buffer, and sends at the end unless there was an exception.
    The receiver sees an Arrow array of uint8.
    """

    def __init__(self, loan: Loan, size: int, send: Callable[[Loan, int], None]) -> None:
        self._loan: Loan | None = loan
        self._size = size
        self._send = send
        self._buffer: memoryview | None = None
        self._views: list[weakref.ref[Any]] = []

    def as_buffer(self) -> memoryview:
        """The sample's memory: writable, one dimension, format `B`; always the same view.

        Take arrays of it with `np.frombuffer(buffer, dtype=...)`. It is released by `send`.

        Raises:
            BufferError: the sample was sent.
        """
        if self._buffer is None:
            self._buffer = self._view()
        return self._buffer

    def as_memoryview(self) -> memoryview:
        """A new view of the sample's memory, which the caller releases before `send`.

        Raises:
            BufferError: the sample was sent.
        """
        return self._view()

    def send(self) -> None:
        """Send the sample. Nothing is copied.

        Raises:
            SampleError: it was sent already, or views of it are still open.
        """
        if self._loan is None:
            raise SampleError("Sample has already been sent")
        still_open = self._open_views()
        if still_open:
            raise SampleError(
                f"Cannot send: {still_open} buffer view(s) are still open: release memoryviews, "
                "and `del` arrays made from the buffer, before the sample is sent"
            )
        loan, self._loan = self._loan, None
        self._send(loan, self._size)

    def _view(self) -> memoryview:
        if self._loan is None:
            raise BufferError("the sample was sent: its memory belongs to the receivers now")
        import numpy as np

        # The array lives exactly as long as views of its memory do: that is how they are counted.
        array: Any = np.asarray(self._loan)[: self._size]
        self._views.append(weakref.ref(array))
        return memoryview(array)

    def _open_views(self) -> int:
        if self._buffer is not None:
            try:
                self._buffer.release()
                self._buffer = None
            except BufferError:
                pass  # an array was made from it: counted below
        self._views = [view for view in self._views if view() is not None]
        return len(self._views)

    def __enter__(self) -> memoryview:
        return self.as_buffer()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.send()
