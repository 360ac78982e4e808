"""An operator: the mean of each array."""

from dora import DoraStatus


class Operator:
    def on_event(self, dora_event, send_output):
        if dora_event["type"] == "INPUT":
            send_output("mean", float(dora_event["value"].mean()))
        return DoraStatus.CONTINUE
