"""When an operator that failed is made anew: the rules alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dora.wire.restarts import Restarts
from dora.wire.runtime import OperatorConfig, OperatorRestart, RuntimeConfig
from dora.wire.runtime import decode_runtime as decode
from dora.wire.runtime import encode_runtime as encode

POLICIES = st.sampled_from(["never", "on-failure", "always"])
SECONDS = st.none() | st.floats(0, 100)
RULES = st.builds(OperatorRestart, POLICIES, st.integers(0, 5), SECONDS, SECONDS, SECONDS)


def delays(rules: OperatorRestart, *failures_s: float) -> list[float | None]:
    restarts = Restarts(rules)
    return [restarts.after_failure(now_s) for now_s in failures_s]


def test_without_a_policy_nothing_is_made_anew() -> None:
    assert delays(OperatorRestart(), 1.0) == [None]


def test_the_wait_doubles_up_to_its_bound() -> None:
    rules = OperatorRestart("on-failure", delay_s=1.0, max_delay_s=5.0)
    assert delays(rules, 0, 1, 2, 3, 4) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_number_of_restarts_is_bounded() -> None:
    assert delays(OperatorRestart("always", max_restarts=2), 0, 1, 2, 3) == [0.0, 0.0, None, None]


def test_a_window_that_is_over_forgets_what_was_counted_in_it() -> None:
    rules = OperatorRestart("always", max_restarts=1, delay_s=1.0, window_s=10.0)
    assert delays(rules, 5, 14, 16, 20) == [1.0, None, 1.0, None]


@given(RULES, st.lists(st.floats(0, 1000)).map(sorted))
def test_no_wait_is_longer_than_its_bound_and_none_follows_never(
    rules: OperatorRestart, failures_s: list[float]
) -> None:
    for delay_s in delays(rules, *failures_s):
        assert delay_s is None or rules.policy != "never"
        assert delay_s is None or rules.max_delay_s is None or delay_s <= rules.max_delay_s


@given(
    st.builds(
        RuntimeConfig,
        st.text(),
        st.lists(st.builds(OperatorConfig, st.text(), st.text(), st.lists(st.text()))),
        RULES,
    )
)
def test_what_a_runtime_is_told_arrives(config: RuntimeConfig) -> None:
    assert decode(encode(config)) == config


def test_the_rules_of_restarting_may_be_left_out() -> None:
    text = '{"node": "n", "operators": [{"id": "a", "source": "/a.py"}]}'
    assert decode(text) == RuntimeConfig("n", [OperatorConfig("a", "/a.py")])
