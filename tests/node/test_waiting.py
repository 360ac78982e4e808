"""A wait stays awake only where the last one was short, and never longer than it may."""

import os
import subprocess
import sys

import pytest

from dora.errors import NodeInitError
from dora.node.waiting import Waiting, spin_us
from dora.wire.board import Turn

SPIN_US = 200
LOOK_US = 10
READY = [(3, 1)]


class _Set:
    """An epoll set of which the test says when something is there, and the clock it lives by."""

    def __init__(self) -> None:
        self.now_us = 0
        self.ready_at_us = 0
        self.asleep_us = 0
        self.looks = 0

    def clock(self) -> int:
        return self.now_us * 1000

    def poll(self, timeout_s: float | None) -> list[tuple[int, int]]:
        if timeout_s == 0:
            self.looks += 1
            self.now_us += LOOK_US
        else:
            assert timeout_s is None or timeout_s > 0, "an epoll set waits for ever, then"
            until = self.ready_at_us
            if timeout_s is not None:
                until = min(until, self.now_us + round(timeout_s * 1e6))
            self.asleep_us += max(0, until - self.now_us)
            self.now_us = max(self.now_us, until)
        return READY if self.now_us >= self.ready_at_us else []


def waiting(spin: int = SPIN_US) -> tuple[Waiting, _Set]:
    fake = _Set()
    return Waiting(fake, spin, Turn(), fake.clock), fake  # type: ignore[arg-type]  # only `poll` is used


def wait(made: tuple[Waiting, _Set], after_us: int, timeout_s: float | None = None) -> list[object]:
    """Wait for something that is there `after_us` from now."""
    waits, fake = made
    fake.ready_at_us = fake.now_us + after_us
    fake.asleep_us = fake.looks = 0
    return list(waits.wait(timeout_s))


def test_the_first_wait_sleeps() -> None:
    made = waiting()
    assert wait(made, 50) == READY
    assert made[1].asleep_us == 50
    assert made[1].looks == 0


def test_a_wait_after_a_short_one_stays_awake_until_the_message_is_there() -> None:
    made = waiting()
    wait(made, 50)
    assert wait(made, 150) == READY
    assert made[1].asleep_us == 0
    assert made[1].looks == 15


def test_a_wait_that_stayed_awake_in_vain_sleeps_on_and_the_next_sleeps_at_once() -> None:
    made = waiting()
    wait(made, 50)
    assert wait(made, 5000) == READY
    assert made[1].looks == SPIN_US // LOOK_US
    assert made[1].asleep_us == 5000 - SPIN_US
    wait(made, 5000)
    assert made[1].looks == 0


def test_the_time_spent_awake_counts_as_waited() -> None:
    made = waiting()
    wait(made, 50)
    begin = made[1].now_us
    assert wait(made, 5000, timeout_s=0.001) == []
    assert made[1].now_us - begin == 1000


def test_a_core_that_is_away_for_longer_than_the_timeout_does_not_make_the_wait_endless() -> None:
    made = waiting()
    wait(made, 50)
    waits, fake = made
    fake.ready_at_us = fake.now_us + 10**9
    look = fake.poll

    def away(timeout_s: float | None) -> list[tuple[int, int]]:
        fake.now_us += 50_000
        return look(timeout_s)

    waits._poll = away  # type: ignore[method-assign, assignment]
    assert waits.wait(0.01) == []


@pytest.mark.parametrize("timeout_s", [0, 0.0001])
def test_a_wait_shorter_than_the_spin_is_left_to_the_kernel(timeout_s: float) -> None:
    made = waiting()
    wait(made, 50)
    assert wait(made, 5000, timeout_s) == []
    assert made[1].looks == (1 if timeout_s == 0 else 0)


def test_zero_microseconds_never_stay_awake() -> None:
    made = waiting(0)
    for _ in range(3):
        wait(made, 5)
        assert made[1].looks == 0


def test_the_spin_is_200_us_on_several_cores_and_none_on_one() -> None:
    code = (
        "import os; from dora.node.waiting import spin_us\n"
        "cores = os.sched_getaffinity(0); print(len(cores) > 1, spin_us())\n"
        "os.sched_setaffinity(0, {min(cores)}); print(spin_us())"
    )
    env = {key: value for key, value in os.environ.items() if key != "DORA_SPIN_US"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=True)
    assert shown.stdout.split() in ([b"True", b"200", b"0"], [b"False", b"0", b"0"])


@pytest.mark.parametrize(("text", "us"), [("0", 0), ("50", 50), ("1000000", 1_000_000)])
def test_the_variable_sets_it(monkeypatch: pytest.MonkeyPatch, text: str, us: int) -> None:
    monkeypatch.setenv("DORA_SPIN_US", text)
    assert spin_us() == us


@pytest.mark.parametrize("text", ["-1", "fast", "1.5", "1000001", " 5"])
def test_a_wrong_variable_is_told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DORA_SPIN_US", text)
    with pytest.raises(NodeInitError, match=r"DORA_SPIN_US=.*microseconds"):
        spin_us()
