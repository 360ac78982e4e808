from __future__ import annotations

import pytest

from dora.daemon.hints import hint
from dora.daemon.report import NodeFailure, telling_lines


def failure_of(source: str) -> tuple[str, ...]:
    """The lines that a program with this mistake leaves on stderr."""
    import traceback

    namespace: dict[str, object] = {}
    try:
        exec(source, namespace)
    except BaseException:
        return telling_lines(tuple(traceback.format_exc().splitlines()))
    raise AssertionError(f"{source!r} did not fail")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module.inner", "`no_such_module` is not in the environment"),
        ("import pyarrow; pyarrow.array([1]).mean()", "send a NumPy array to receive one"),
        ("import numpy; numpy.ones(2).to_numpy()", "`receive_as: arrow` at its input"),
        ("import numpy; numpy.ones(2)[0].as_py()", "`receive_as: arrow` at its input"),
        (
            "import numpy; a = numpy.ones(2); a.flags.writeable = False; a[0] = 1",
            '`event["value"].copy()`',
        ),
        (
            "import numpy; a = numpy.ones(2); a.flags.writeable = False; a += 1",
            '`event["value"].copy()`',
        ),
        ("import bdb; raise bdb.BdbQuit", "`dora run … --debug-node plot`"),
    ],
)
def test_a_common_mistake_is_told_with_what_to_do(source: str, told: str) -> None:
    said = hint("plot", failure_of(source))
    assert said is not None
    assert told in said


def test_opencv_drawing_on_a_received_image_is_told_to_copy_it() -> None:
    said = hint(
        "plot",
        (
            "cv2.error: OpenCV(4.11.0) :-1: error: (-5:Bad argument) in function 'rectangle'",
            "> Overload resolution failed:",
            ">  - img marked as output argument, but provided NumPy array marked as readonly",
        ),
    )
    assert said is not None
    assert '`event["value"].copy()`' in said


def test_other_failures_get_no_hint() -> None:
    assert hint("plot", failure_of("1 / 0")) is None
    assert hint("plot", failure_of("object().mean()")) is None
    assert hint("plot", ()) is None


def test_the_hint_stands_below_the_traceback() -> None:
    stderr = ("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'cv2'")
    lines = str(NodeFailure("plot", "exited with code 1", 42, 3.2, stderr)).splitlines()
    assert lines[-2].startswith("  mend: `cv2` is not in the environment")
    assert lines[-1] == "(pid 42, after 3.2 s)"
