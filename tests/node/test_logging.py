"""The standard library's logging inside a node: what is shown, at which level, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .flows import Flow, Ran

SPEAK = """
logging.debug("a debug line %d", 1)
logging.info("an info line %d", 2)
logging.getLogger("vision.model").warning("a warning")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("a failure")
"""


def spoken(ran: Ran) -> dict[str, str]:
    """Levels of the lines of the node, by their first two words."""
    return {" ".join(e["msg"].split()[:2]): e["level"] for e in ran.entries("n")}


def speak(flow: Flow, before: str = "", after: str = "", *arguments: str) -> Ran:
    source = f"import logging\nfrom dora import Node\n{before}\nnode = Node()\n{after}\n{SPEAK}"
    return flow.node("n", source, outputs=["out"]).run(*arguments)


def test_with_nothing_configured_info_and_above_are_visible(flow: Flow) -> None:
    ran = speak(flow)
    assert spoken(ran) == {"an info": "info", "a warning": "warn", "a failure": "error"}
    for words in ("an info line 2", "a warning", "a failure", "ZeroDivisionError"):
        assert words in ran.text
    assert "a debug line" not in ran.text


def test_a_record_tells_its_logger_its_file_and_its_traceback(flow: Flow) -> None:
    ran = speak(flow)
    warning, failure = (
        next(e for e in ran.entries("n") if e["msg"].startswith(words))
        for words in ("a warning", "a failure")
    )
    assert warning["target"] == "vision.model"
    assert "Traceback" in failure["msg"]
    assert "ZeroDivisionError" in failure["msg"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_debug_is_shown_when_asked_for_before_and_after_node(flow: Flow, when: str) -> None:
    ran = speak(flow, **{when: "logging.basicConfig(level=logging.DEBUG)"})
    assert ran.text.count("a debug line 1") == 1
    assert ran.text.count("an info line 2") == 1
    assert spoken(ran)["a debug"] == "debug"


def test_lines_of_logging_have_their_own_level(flow: Flow) -> None:
    ran = speak(flow, "", "logging.basicConfig(level=logging.DEBUG)", "--log-level", "debug")
    assert "a debug line 1" in ran.text
    assert spoken(ran)["a debug"] == "debug"


def test_a_level_set_by_hand_is_obeyed(flow: Flow) -> None:
    ran = speak(flow, "", "logging.getLogger().setLevel(logging.ERROR)")
    assert spoken(ran) == {"a failure": "error"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_users_own_is_left_alone(flow: Flow, when: str) -> None:
    own = "logging.basicConfig(format='OWN %(levelname)s %(message)s', level=logging.INFO)"
    ran = speak(flow, **{when: own})
    assert "OWN INFO an info line 2" in ran.text
    assert "OWN WARNING a warning" in ran.text
    assert ran.text.count("an info line 2") == 1


def test_a_file_of_the_users_own_gets_the_lines(flow: Flow) -> None:
    file = flow.folder / "own.log"
    speak(flow, f"logging.basicConfig(filename={str(file)!r}, level=logging.DEBUG)")
    assert "a debug line 1" in file.read_text()
    assert "a failure" in file.read_text()


def test_prints_are_shown_live_at_level_stdout(flow: Flow) -> None:
    ran = flow.node(
        "n", "from dora import Node\nnode = Node()\nprint('hello')\nprint('ende', end='')"
    ).run()
    levels = {entry["msg"]: entry["level"] for entry in ran.entries("n")}
    assert levels == {"hello": "stdout", "ende": "stdout"}
    assert "hello" in ran.text


def test_node_log_writes_one_line_of_each_level(flow: Flow) -> None:
    ran = flow.node(
        "n",
        """
        from dora import Node
        node = Node()
        node.log("info", "plain")
        node.log("WARN", "with all", "my.target", {"key": "value", "number": "5"})
        node.log("strange", "unknown level")
        node.log_error("e")
        node.log_warn("w")
        node.log_info("i")
        node.log_debug("d")
        node.log_trace("t")
        node.log("info", "two\\nlines and ünicode")
        node.log("info", "too much", fields={"big": "x" * 70_000})
        """,
    ).run("--log-level", "trace")
    entries: list[dict[str, Any]] = ran.entries("n")
    said = {entry["msg"]: entry for entry in entries}
    levels = {msg: entry["level"] for msg, entry in said.items()}
    assert levels == {
        "plain": "info",
        "with all": "warn",
        "unknown level": "info",
        "e": "error",
        "w": "warn",
        "i": "info",
        "d": "debug",
        "t": "trace",
        "two\nlines and ünicode": "info",
        "too much": "info",
    }
    assert said["with all"]["target"] == "my.target"
    assert said["with all"]["fields"]["key"] == "value"
    assert "x" * 100 not in str(said["too much"])


def test_lines_of_threads_do_not_mix(flow: Flow) -> None:
    ran = flow.node(
        "n",
        """
        import logging, threading
        from dora import Node
        node = Node()
        def speak(name):
            for count in range(100):
                logging.info("%s %d %s", name, count, "x" * 200)
        threads = [threading.Thread(target=speak, args=(name,)) for name in "abc"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
    ).run()
    lines = [entry["msg"] for entry in ran.entries("n")]
    assert len(lines) == 300
    for name in "abc":
        own = [line for line in lines if line.startswith(name + " ")]
        assert own == [f"{name} {count} {'x' * 200}" for count in range(100)]


def test_a_record_that_cannot_be_formatted_does_not_end_the_node(flow: Flow) -> None:
    ran = flow.node(
        "n",
        """
        import logging
        from dora import Node
        node = Node()
        logging.info("%d", "no number")
        logging.info("still here")
        """,
    ).run()
    assert "still here" in ran.text
    assert "Logging error" in ran.text


def test_the_warning_about_an_undeclared_output_is_shown_once(flow: Flow) -> None:
    ran = flow.node(
        "n",
        """
        from dora import Node
        node = Node()
        for _ in range(3):
            node.send_output("imgae", 1)
        """,
        outputs=["image"],
    ).run()
    assert ran.text.count("did you mean `image`") == 1
