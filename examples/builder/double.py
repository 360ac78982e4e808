"""An operator: twice what it receives."""

from dora import DoraStatus


class Operator:
    def on_event(self, dora_event, send_output):
        if dora_event["type"] == "INPUT":
            send_output("numbers", 2 * dora_event["value"])
        return DoraStatus.CONTINUE
