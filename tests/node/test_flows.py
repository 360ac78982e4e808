"""Nodes in processes of their own, in real dataflows: what only a real run can show."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .flows import Flow

ECHO = """
    from dora import Node
    node = Node()
    for event in node:
        if event["type"] == "INPUT":
            node.send_output("out", event["value"], event["metadata"])
"""
SINK = """
    import numpy as np
    from dora import Node
    for event in Node():
        if event["type"] == "INPUT":
            value = event["value"]
            say(value.tolist() if isinstance(value, np.ndarray) else value.to_pylist())
        else:
            say(event["type"] + " " + event["id"])
"""


def test_values_of_every_kind_go_there_and_back(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import datetime, decimal
        import numpy as np, pyarrow as pa
        from dora import Node

        rng = np.random.default_rng(1)
        values = [
            np.zeros((480, 640, 3), np.uint8), rng.random((3, 4, 5)).astype(">f4"), np.float64(1.5),
            np.zeros((0, 3), bool), np.asfortranarray(rng.random((200, 300))), rng.random(9)[::-2],
            np.array(["a", "ß"]), np.array(["2026-01-01", "NaT"], "M8[D]"),
            np.zeros(500, [("a", "i4", 3), ("b", "U5")]), np.longdouble(3) * np.ones(7),
            pa.array(["a", None, "c" * 900]), pa.array([[1], None, [2, 3]] * 200),
            pa.array([{"x": 1.0, "label": "p"}]), pa.nulls(3), pa.array([], pa.int8()),
            pa.array([1, None, 3])[1:], pa.array(["x", "y", "x"]).dictionary_encode(),
            pa.array([decimal.Decimal("1.5")]), pa.array([datetime.timedelta(1)]),
            b"raw" * 1000, bytearray(b""), "text", 5, 2.5, True, [1, 2], {"a": [1]},
            pa.RecordBatch.from_pylist([{"a": 1}, {"a": 2}]),
        ]
        wanted = {
            str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(),
        }

        def same(sent, got):
            if isinstance(sent, (np.ndarray, np.generic)):
                assert type(got) is np.ndarray and not got.flags.writeable
                return (got.dtype, got.shape) == (sent.dtype, sent.shape) and (
                    got.tobytes() == sent.tobytes() or np.array_equal(sent, got))
            if isinstance(sent, pa.RecordBatch):
                sent = sent.to_struct_array()
            if isinstance(sent, (bytes, bytearray)):
                return got.type == pa.uint8() and got.to_numpy().tobytes() == sent
            if not isinstance(sent, pa.Array):
                sent = pa.array(sent if isinstance(sent, list) else [sent])
            return got.type == sent.type and got.equals(sent)

        with Node() as node:
            for number, value in enumerate(values):
                node.send_output("out", value, {"number": number, "deep": {"list": [1, None]}})
                event = node.next(timeout=20)
                facts = {k: event["metadata"][k] for k in ("number", "deep")}
                assert facts == {"number": number, "deep": {"list": [1, None]}}, facts
                assert same(value, event["value"]), (value, event["value"])
            say(number + 1)
        """,
        {"back": "echo/out"},
        ["out"],
    ).node("echo", ECHO, {"in": "source/out"}, ["out"])
    ran = flow.run()
    assert ran.said("source") == [28]


def test_what_is_sent_just_before_the_end_of_a_process_is_delivered(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import os
        import numpy as np
        from dora import Node
        node = Node()
        for count in range(8):
            node.send_output("out", np.full(100_000, count)[:: 1 if count % 2 else 50_000])
        node.send_output("out", np.array([8]))
        sys.stdout.flush()
        os._exit(0)
        """,
        outputs=["out"],
    )
    sink = SINK.replace("value.tolist()", "value[:1].tolist()")
    ran = flow.node("sink", sink, {"in": "source/out"}).run()
    assert ran.said("sink") == [
        *[[count] for count in range(9)],
        "INPUT_CLOSED in",
        "STOP ALL_INPUTS_CLOSED",
    ]


def test_received_values_outlive_the_event_the_node_and_the_senders_process(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import numpy as np, pyarrow as pa
        from dora import Node
        node = Node()
        node.send_output("out", np.arange(100_000), {"pid": os.getpid()})
        node.send_output("out", pa.array(["word"] * 10_000))
        assert node.next(timeout=20)["type"] == "INPUT"
        """,
        {"go": "sink/go"},
        ["out"],
    ).node(
        "sink",
        """
        import gc, select
        from dora import Node
        node = Node()
        first = node.next(timeout=20)
        gone = os.pidfd_open(first["metadata"]["pid"])
        kept = [first["value"][5:], node.next(timeout=20)["value"]]
        del first
        node.send_output("go", True)
        assert select.select([gone], [], [], 20)[0]
        node.close()
        del node
        gc.collect()
        say(int(kept[0].sum()), kept[1].to_pylist() == ["word"] * 10_000)
        """,
        {"in": "source/out"},
        ["go"],
    )
    assert flow.run().said("sink") == [[sum(range(5, 100_000)), True]]


def test_a_daemon_thread_may_go_on_sending_until_the_interpreter_ends(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import threading
        import numpy as np
        from dora import Node
        node = Node()
        def send():
            count = 0
            while True:
                node.send_output("out", np.full(3000 if count % 2 else 3, count))
                count += 1
        for _ in range(3):
            threading.Thread(target=send, daemon=True).start()
        for event in node:
            say(event["type"])
        """,
        {"tick": "sink/ready"},
        ["out"],
    ).node(
        "sink",
        """
        from dora import Node
        node = Node()
        for count, event in enumerate(node):
            if event["type"] != "INPUT":
                break
            if count == 50:
                break
        """,
        {"in": {"source": "source/out", "queue_size": 2}},
        ["ready"],
    )
    ran = flow.run()
    assert ran.said("source") == ["INPUT_CLOSED", "STOP"]
    assert ran.lines("source", "stderr") == []


def test_a_daemon_thread_that_waits_for_room_does_not_hold_up_the_end(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import threading
        from dora import Node
        node = Node()
        full = threading.Event()
        def send():
            for count in range(100):
                if count == 5:
                    full.set()
                node.send_output("out", count, {"pid": os.getpid()})
        threading.Thread(target=send, daemon=True).start()
        assert full.wait(20)
        say("end")
        """,
        outputs=["out"],
    ).node(
        "sink",
        """
        import select
        from dora import Node
        node = Node()
        gone = os.pidfd_open(node.next(timeout=20)["metadata"]["pid"])
        node.next(timeout=20)
        assert select.select([gone], [], [], 20)[0]
        say([event["value"].to_pylist()[0] for event in node if event["type"] == "INPUT"])
        """,
        {"in": {"source": "source/out", "queue_size": 3, "queue_policy": "backpressure"}},
    )
    ran = flow.run()
    assert ran.said("source") == ["end"]
    assert ran.lines("source", "stderr") == []
    assert ran.said("sink") == [[2, 3, 4]]


def test_a_node_without_inputs_may_wait_for_stop_in_any_way(flow: Flow) -> None:
    for name, wait in (
        ("iterating", "say([e['type'] for e in node])"),
        ("asking", "\nwhile not (e := node.try_recv()): os.sched_yield()\nsay([e['type']])"),
    ):
        up = "from dora import Node\nnode = Node()\nsay('up')\n"
        flow.node(name, up + wait, outputs=["out"])
    process = flow.start()
    shown = iter(process.stdout or ())
    for _ in range(2):
        next(line for line in shown if '"up"' in line)
    process.send_signal(signal.SIGINT)
    ran = flow.finish(process)
    assert ran.said("iterating") == ["up", ["STOP"]]
    assert ran.said("asking") == ["up", ["STOP"]]


def test_async_nodes_run_without_helper_threads(flow: Flow) -> None:
    flow.node(
        "source",
        """
        from dora import Node
        node = Node()
        for count in range(5):
            node.send_output("out", count)
        """,
        outputs=["out"],
    ).node(
        "worker",
        """
        import asyncio, threading
        from dora import Node

        async def main():
            node = Node()
            seen = []
            async for event in node:
                if event["type"] == "INPUT":
                    await asyncio.sleep(0)
                    node.send_output("out", event["value"])
                seen.append((event["type"], threading.active_count()))
            say(seen)

        asyncio.run(main())
        """,
        {"in": "source/out"},
        ["out"],
    ).node("sink", SINK, {"in": "worker/out"})
    ran = flow.run()
    assert ran.said("worker") == [
        [*[["INPUT", 1]] * 5, ["INPUT_CLOSED", 1], ["STOP", 1]],
    ]
    assert ran.said("sink")[:5] == [[count] for count in range(5)]


def test_ctrl_c_in_next_raises_in_the_node_and_its_outputs_close(flow: Flow) -> None:
    flow.node(
        "source",
        """
        import signal
        from dora import Node
        node = Node()
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            node.next()
        except KeyboardInterrupt:
            node.send_output("out", "interrupted")
        """,
        {"tick": "dora/timer/secs/1000"},
        ["out"],
    ).node("sink", SINK, {"in": "source/out"})
    # The first tick of the timer comes at once: it is read first.
    file = flow.folder / "source.py"
    file.write_text(file.read_text().replace("    node.next()", "    node.next(), node.next()"))
    ran = flow.run()
    assert ran.said("sink") == [["interrupted"], "INPUT_CLOSED in", "STOP ALL_INPUTS_CLOSED"]


def test_ctrl_c_at_the_terminal_stops_all_nodes_by_an_event(flow: Flow) -> None:
    flow.node(
        "source",
        """
        from dora import Node
        node = Node()
        node.send_output("out", 1)
        say("ready")
        say([event["type"] + " " + event["id"] for event in node])
        """,
        outputs=["out"],
    )
    process = flow.start()
    assert process.stdout is not None
    for line in process.stdout:
        if "ready" in line:
            break
    process.send_signal(signal.SIGINT)
    ran = flow.finish(process)
    assert ran.said("source") == ["ready", ["STOP MANUAL"]]


FORKING = """
    import multiprocessing, threading
    import numpy as np
    from dora import Node, NodeClosedError

    def square(x):
        return x * x

    def intrude(node):
        try:
            node.send_output("out", -1)
        except NodeClosedError as exc:
            return str(exc)

    if __name__ == "__main__":
        node = Node()
        got = []
        kept = []
        for event in node:
            if event["type"] == "INPUT":
                kept.append(event["value"])
                context = multiprocessing.get_context(METHOD)
                with context.Pool(2) as pool:
                    got.append(pool.map(square, event["value"][:3].tolist()))
                node.send_output("out", event["value"][:3])
        say(got)
        say([int(value.sum()) for value in kept])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_of_processes_works_inside_a_node(flow: Flow, method: str) -> None:
    flow.node(
        "source",
        """
        import numpy as np
        from dora import Node
        node = Node()
        for count in range(3):
            node.send_output("out", np.full(2000, count))
        """,
        outputs=["out"],
    ).node("worker", FORKING.replace("METHOD", repr(method)), {"in": "source/out"}, ["out"]).node(
        "sink", SINK, {"in": "worker/out"}
    )
    ran = flow.run()
    assert ran.said("worker") == [[[c * c] * 3 for c in range(3)], [0, 2000, 4000]]
    assert ran.said("sink")[:3] == [[count] * 3 for count in range(3)]


def test_a_forked_child_disturbs_nothing_however_it_ends(flow: Flow) -> None:
    flow.node(
        "worker",
        """
        import sys
        import numpy as np
        from dora import Node, NodeClosedError
        node = Node()
        value = node.next(timeout=20)["value"]
        said = []
        for end in ("os._exit", "sys.exit", "exception", "close", "del"):
            pid = os.fork()
            if pid == 0:
                sys.stderr = open(os.devnull, "w")
                try:
                    node.send_output("out", -1)
                except NodeClosedError:
                    assert value.sum() == sum(range(5000))
                else:
                    os._exit(99)
                if end == "os._exit":
                    os._exit(7)
                if end == "sys.exit":
                    sys.exit(7)
                if end == "exception":
                    raise RuntimeError
                if end == "close":
                    node.close()
                    sys.exit(7)
                del node, value
                sys.exit(7)
            said.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            node.send_output("out", end)
        say(said)
        say(int(value.sum()))
        assert node.next(timeout=20)["type"] == "INPUT_CLOSED"
        """,
        {"in": "source/out"},
        ["out"],
    ).node(
        "source",
        """
        import numpy as np
        from dora import Node
        Node().send_output("out", np.arange(5000))
        """,
        outputs=["out"],
    ).node("sink", SINK, {"in": "worker/out"})
    ran = flow.run()
    assert ran.said("worker") == [[7, 7, 1, 7, 7], sum(range(5000))]
    assert ran.said("sink")[:-2] == [["os._exit"], ["sys.exit"], ["exception"], ["close"], ["del"]]


def test_a_child_that_calls_node_again_is_refused_and_the_node_goes_on(flow: Flow) -> None:
    flow.node(
        "worker",
        """
        import subprocess
        from dora import Node, NodeInitError
        node = Node()
        child = "from dora import Node\\ntry:\\n    Node()\\nexcept RuntimeError as e: print(e)"
        done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        say(done.stdout)
        try:
            Node()
        except NodeInitError as exc:
            say(str(exc))
        node.send_output("out", "still here")
        """,
        outputs=["out"],
    ).node("sink", SINK, {"in": "worker/out"})
    ran = flow.run()
    child, second = ran.said("worker")
    assert "`worker`" in child
    assert "`worker`" in second
    assert ran.said("sink")[0] == ["still here"]


def test_data_loader_workers_of_torch_run_inside_a_node(flow: Flow) -> None:
    pytest.importorskip("torch")
    flow.node(
        "source",
        """
        import numpy as np
        from dora import Node
        Node().send_output("out", np.arange(4000, dtype=np.float32).reshape(1000, 4))
        """,
        outputs=["out"],
    ).node(
        "worker",
        """
        import torch
        from torch.utils.data import DataLoader, Dataset
        from dora import Node

        class Rows(Dataset):
            def __init__(self, rows):
                self.rows = rows
            def __len__(self):
                return len(self.rows)
            def __getitem__(self, index):
                return torch.tensor(self.rows[index])

        node = Node()
        rows = node.next(timeout=30)["value"]
        for _ in range(2):
            total = 0.0
            for batch in DataLoader(Rows(rows), batch_size=100, num_workers=2):
                total += float(batch.sum())
                node.send_output("out", batch)
            say(total)
        assert node.next(timeout=30)["type"] == "INPUT_CLOSED"
        """,
        {"in": "source/out"},
        ["out"],
    ).node(
        "sink",
        """
        from dora import Node
        say([list(e["value"].shape) for e in Node() if e["type"] == "INPUT"])
        """,
        {"in": {"source": "worker/out", "queue_size": 100}},
    )
    ran = flow.run()
    assert ran.said("worker") == [float(sum(range(4000)))] * 2
    assert ran.said("sink") == [[[100, 4]] * 20]


def test_all_nodes_of_a_timer_tick_together_and_the_first_at_once(flow: Flow) -> None:
    source = """
        from dora import Node
        node = Node()
        say([node.next()["metadata"]["timestamp"].timestamp() for _ in range(3)])
    """
    for name in ("one", "two"):
        flow.node(name, source, {"tick": "dora/timer/millis/400"})
    ran = flow.run()
    (one,), (two,) = ran.said("one"), ran.said("two")
    for a, b in zip(one[1:], two[1:], strict=True):
        assert abs((a - b + 0.2) % 0.4 - 0.2) < 0.15, (one, two)
    assert one[-1] - one[0] > 0.45


def test_facts_of_the_dataflow_are_at_hand(flow: Flow) -> None:
    flow.node(
        "camera",
        """
        from dora import Node
        node = Node()
        node.send_output("image", 1)
        say(node.dataflow_id(), node.node_config(), node.dataflow_descriptor(), node.id,
            node.is_restart(), node.restart_count())
        """,
        outputs=["image"],
    ).node("sink", SINK, {"in": {"source": "camera/image", "queue_size": 3}})
    ran = flow.run()
    ((dataflow, config, descriptor, name, again, count),) = ran.said("camera")
    (folder,) = (flow.folder / "out").iterdir()
    assert dataflow == folder.name
    assert set(config) == {"inputs", "outputs"}
    assert config["outputs"] == ["image"]
    assert [node["id"] for node in descriptor["nodes"]] == ["camera", "sink"]
    assert (name, again, count) == ("camera", False, 0)


def test_a_node_that_fails_tells_its_consumers_before_its_outputs_close(flow: Flow) -> None:
    flow.node(
        "source",
        """
        from dora import Node
        node = Node()
        node.send_output("out", 1)
        raise ValueError("broken on purpose")
        """,
        outputs=["out"],
    ).node(
        "sink",
        """
        from dora import Node
        for event in Node():
            event.pop("metadata", None)
            say(event["type"], event.get("value") if event["type"] == "NODE_FAILED" else None)
        """,
        {"in": "source/out"},
    )
    ran = flow.run(status=1)
    kinds = [kind for kind, _ in ran.said("sink")]
    assert sorted(kinds) == ["INPUT", "INPUT_CLOSED", "NODE_FAILED", "STOP"]
    assert kinds.index("NODE_FAILED") < kinds.index("INPUT_CLOSED")
    failure = dict(ran.said("sink"))["NODE_FAILED"]
    assert failure["source_node_id"] == "source"
    assert failure["affected_input_ids"] == ["in"]
    assert "status 1" in failure["error"] or "code 1" in failure["error"]


def test_a_node_written_for_arrow_gets_numpy_arrays_as_arrow(flow: Flow) -> None:
    flow.node(
        "camera",
        """
        import numpy as np
        from dora import Node
        node = Node()
        for size in (2, 40):
            image = np.arange(size * size, dtype=np.uint8).reshape(size, size)
            node.send_output("image", image, {"width": size})
        """,
        outputs=["image"],
    )
    flow.node(
        "plot",
        """
        from dora import Node
        for event in Node():
            if event["type"] == "INPUT":
                width = event["metadata"]["width"]
                image = event["value"].to_numpy().reshape(-1, width)
                say([event["metadata"]["type_info"], image.shape, int(image[-1, -1])])
        """,
        inputs={"image": {"source": "camera/image", "receive_as": "arrow"}},
    )
    assert flow.run().said("plot") == [
        ["uint8[2, 2]", [2, 2], 3],
        ["uint8[40, 40]", [40, 40], (40 * 40 - 1) % 256],
    ]
