"""Records a running dataflow: one thread takes messages off its taps, another writes them.

What was taken and is not yet written stays where its sender put it: that is the buffer. When it is
full, senders wait; or, when asked to let them go on, messages are not taken and counted as lost.
Outputs of nodes that come later, or come back, are looked for every other second.

Elsewhere: taps (`monitor.taps`), what was lost (`recording.gaps`), files (`recording.writer`), the
command (`cli.recording`).
"""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dora.errors import DoraError
from dora.monitor import topics as outputs
from dora.monitor.taps import Taps
from dora.recording.gaps import Gaps
from dora.recording.message import RecordedMessage
from dora.recording.options import Figures
from dora.recording.writer import About, RecordingWriter
from dora.wire import visits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dora.monitor.topics import Topic
    from dora.recording.options import RecordOptions
    from dora.wire.visits import State

_AT_ONCE = 64
"""Messages of one output that are taken in one look."""
_NAP_S = 0.005
"""Between two looks. Who is woken by a message takes the time of those whom it is for."""
_IDLE_S = 0.2
"""When so long nothing came, the next message wakes."""
_WAIT_S = 0.1
_HAND_BYTES, _HAND_S = 1 << 20, 0.05
"""What was taken is handed over when it is so much, or has waited so long."""
_LOOK_EVERY_S = 2.0
_MESSAGE_BYTES = 300
"""What a message takes up beside its payload, about."""


class _Batch(NamedTuple):
    """What one thread hands the other."""

    messages: list[RecordedMessage]
    lost: dict[str, int]


class Recorder:
    """Records one dataflow, once. `join()` begins; `wait()` waits for the end.

    Args:
        options: What to record, and how.
        on_problem: Called when it ends early, with the reason; in a thread of its own.
    """

    def __init__(
        self,
        options: RecordOptions,
        on_problem: Callable[[DoraError], None] = lambda _problem: None,
    ) -> None:
        self._options = options
        self._on_problem = on_problem
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._room = threading.Event()
        self._stop = threading.Event()
        self._taken = self._done = 0
        """Bytes that one thread took, and that the other is done with: each has one writer."""
        self._types: dict[str, str] = {}
        self._gaps = Gaps()
        self._batch = _Batch([], {})
        """Taken, and not handed over."""
        self._batch_bytes = 0
        self._batch_due_s = 0.0
        self._threads: list[threading.Thread] = []
        self._writer: RecordingWriter | None = None
        self._dataflow = ""
        self._crash: BaseException | None = None
        """A bug of ours: raised by `wait`."""
        self.problem: DoraError | None = None
        """Why it ended early."""

    # ---- for whoever records ----

    def join(self, dataflow: str) -> None:
        """Begin to record the dataflow of this id: every message that is sent from now on.

        Raises:
            DoraError: it has ended, has no such output, or the file cannot be made.
        """
        options = self._options
        taps = Taps(dataflow)
        try:
            state = taps.state()
            outputs.chosen(outputs.topics_of(state), options.topics)
            about = _about(taps, state)
            self._gaps.whole = state.phase == "starting"
            self._tap(taps, state)
            self._writer = writer = RecordingWriter(
                options.path,
                about,
                options.compression,
                split_bytes=options.split_bytes,
                split_s=options.split_s,
                force=options.force,
            )
        except BaseException:
            taps.close()
            raise
        self._dataflow = dataflow
        for run in (lambda: self._take(taps), lambda: self._write(writer)):
            thread = threading.Thread(target=self._run, args=(run,), name="dora-record")
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Take nothing more; what was sent before is recorded. Any thread may call this."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all is written, because the dataflow has ended or this was stopped.

        Returns:
            Whether it is; False when the time was over first.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        if self._crash is not None:
            raise self._crash
        return True

    def figures(self) -> Figures:
        """How far it is."""
        writer = self._writer
        if writer is None:
            return Figures()
        return Figures(
            writer.messages,
            writer.size,
            writer.written,
            sum(self.lost.values()),
            self._taken - self._done,
        )

    @property
    def lost(self) -> dict[str, int]:
        """Messages that were sent and are not recorded, by topic."""
        return {} if self._writer is None else self._writer.lost

    @property
    def topics(self) -> set[str]:
        """The outputs of which messages were recorded."""
        return set() if self._writer is None else self._writer.topics

    @property
    def paths(self) -> Sequence[Path]:
        """The files."""
        return () if self._writer is None else self._writer.paths

    def _run(self, run: Callable[[], None]) -> None:
        """What a thread does: an exception in one ends the other too."""
        try:
            run()
        except BaseException as exc:
            self._crash = self._crash or exc
            self.stop()

    # ---- the thread that takes ----

    def _take(self, taps: Taps) -> None:
        try:
            look_at = came_at = time.monotonic()
            while not self._stop.is_set():
                if not self._has_room():
                    continue
                if taps.ended:
                    again = self._come_again()
                    if again is None:
                        break
                    taps.close()
                    taps = again
                now = time.monotonic()
                most = self._pass(taps, _WAIT_S if now - came_at > _IDLE_S else 0)
                if most:
                    came_at = now
                self._hand_over(now)
                if most < _AT_ONCE:
                    time.sleep(_NAP_S)
                if now >= look_at + _LOOK_EVERY_S:
                    self._look(taps)
                    look_at = now
            self._pass(taps, 0, self._options.queue_size)  # what was sent before the stop
        except DoraError as exc:
            self._fail(exc)
        finally:
            taps.close()
            self._batches.put(self._batch)
            self._batch = _Batch([], {})
            self._batches.put(None)

    def _has_room(self) -> bool:
        """Whether more may be taken; waits a little if not."""
        if self._options.lossy or not self._is_full():
            return True
        self._hand_over(self._batch_due_s)
        self._room.clear()
        if self._is_full():
            self._room.wait(_WAIT_S)
        return False

    def _is_full(self) -> bool:
        return self._taken - self._done >= self._options.buffer_bytes

    def _pass(self, taps: Taps, timeout_s: float, most: int = _AT_ONCE) -> int:
        """Take what waits; how many messages the busiest output had."""
        batch, lost = self._batch
        taken = 0
        keeps = not (self._options.lossy and self._is_full())
        found = taps.receive_undecoded(timeout_s, most)
        now = time.time_ns()
        for topic, messages in found:
            missing = 0
            for header, metadata, payload, sequence, sent_ns, arena in messages:
                missing += self._gaps.missing(topic, arena, sequence)
                if keeps:
                    now += 1  # no two at the same time: a viewer would show one of them
                    batch.append(
                        RecordedMessage(topic, header, payload, metadata, sent_ns, now, sequence)
                    )
                    taken += len(payload) + _MESSAGE_BYTES
            if not keeps:
                missing += len(messages)
            if missing:
                lost[topic] = lost.get(topic, 0) + missing
        self._taken += taken
        self._batch_bytes += taken
        return max((len(messages) for _, messages in found), default=0)

    def _hand_over(self, now_s: float) -> None:
        """Give what was taken to the other thread, if that is worth waking it."""
        if not self._batch.messages and not self._batch.lost:
            self._batch_due_s = now_s + _HAND_S
        elif self._batch_bytes >= _HAND_BYTES or now_s >= self._batch_due_s:
            self._batches.put(self._batch)
            self._batch, self._batch_bytes = _Batch([], {}), 0
            self._batch_due_s = now_s + _HAND_S

    def _come_again(self) -> Taps | None:
        """Taps anew, of a dataflow whose daemon was replaced; None when it has ended."""
        try:
            taps = Taps(self._dataflow)
        except DoraError:
            return None
        self._look(taps)
        return taps

    def _look(self, taps: Taps) -> None:
        """Look for outputs that are not read yet."""
        try:
            state = taps.state()
        except DoraError:
            return  # the dataflow has ended; what it sent is still read
        self._tap(taps, state)

    def _tap(self, taps: Taps, state: State) -> None:
        """Read every output that is to be recorded and is not read."""
        over = {node.id for node in state.nodes if node.state in ("closed", "finished")}
        for node in state.nodes:
            for output, text in node.output_types.items():
                self._types[f"{node.id}/{output}"] = text
        for topic in outputs.topics_of(state):
            wanted = not self._options.topics or str(topic) in self._options.topics
            if wanted and topic.node not in over and not taps.reads(str(topic)):
                self._tap_one(taps, topic)

    def _tap_one(self, taps: Taps, topic: Topic) -> None:
        size, waits = self._options.queue_size, not self._options.lossy
        try:
            taps.add(topic.node, topic.name, size, backpressure=waits)
        except DoraError:
            try:
                nodes = taps.state().nodes
            except DoraError:
                return  # the dataflow has ended
            if any(node.id == topic.node and node.state != "finished" for node in nodes):
                raise

    # ---- the thread that writes ----

    def _write(self, writer: RecordingWriter) -> None:
        try:
            self._write_batches(writer)
        except DoraError as exc:
            self._fail(exc)
            self._lose_batches(writer)
        try:
            writer.close()
        except DoraError as exc:
            self._fail(exc)

    def _write_batches(self, writer: RecordingWriter) -> None:
        pending = 0
        while True:
            try:
                batch = self._batches.get(timeout=writer.due_s)
            except queue.Empty:
                writer.flush()
                pending = self._release(pending)
                continue
            if batch is None:
                return
            for topic, count in batch.lost.items():
                writer.lose(topic, count)
            for at, one in enumerate(batch.messages):
                pending += len(one.payload) + _MESSAGE_BYTES
                try:
                    writer.add(one, self._types.get(one.topic, ""))
                except DoraError:
                    _lose(writer, batch.messages[at + 1 :])
                    raise
                if writer.due_s is None:
                    pending = self._release(pending)
            if writer.due_s == 0 or self._is_full():
                writer.flush()
                pending = self._release(pending)

    def _release(self, size: int) -> int:
        """So many bytes are written, none are left: there is room again."""
        self._done += size
        self._room.set()
        return 0

    def _fail(self, problem: DoraError) -> None:
        self.stop()
        if self.problem is None:
            self.problem = problem
            self._on_problem(problem)

    def _lose_batches(self, writer: RecordingWriter) -> None:
        """Count what cannot be written any more, until nothing more is taken."""
        while (batch := self._batches.get()) is not None:
            for topic, count in batch.lost.items():
                writer.lose(topic, count)
            _lose(writer, batch.messages)
            self._release(sum(len(one.payload) + _MESSAGE_BYTES for one in batch.messages))


def _lose(writer: RecordingWriter, messages: list[RecordedMessage]) -> None:
    for one in messages:
        writer.lose(one.topic)


def _about(taps: Taps, state: State) -> About:
    """What the file says of the dataflow."""
    dataflow = state.dataflow
    answer = taps.ask(visits.AskDescriptor())
    try:
        text = Path(dataflow.file).read_bytes() if dataflow.file else b""
    except OSError:  # it was removed, or a program made the dataflow
        text = b""
    return About(
        dataflow_id=dataflow.id,
        name=dataflow.name,
        started_ns=dataflow.started_ns,
        file=dataflow.file,
        text=text,
        descriptor=answer.text.encode() if isinstance(answer, visits.Done) else b"",
    )
