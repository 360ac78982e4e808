"""An operator that keeps state, and ends the whole dataflow when the level is high."""

from dora import DoraStatus


class Operator:
    def __init__(self):
        self.highest = 0.0

    def on_event(self, dora_event, send_output):
        if dora_event["type"] != "INPUT":
            return DoraStatus.CONTINUE
        self.highest = max(self.highest, dora_event["value"][0].as_py())
        send_output("text", f"level {self.highest}")
        if self.highest < 3:
            return DoraStatus.CONTINUE
        print("the level is high")
        return DoraStatus.STOP_ALL
