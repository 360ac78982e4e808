"""Makes `dataflow.yml`; then `dora run dataflow.yml`, or `dora.run("dataflow.yml")` in Python."""

from dora.builder import DataflowBuilder, Operator

with DataflowBuilder("builder") as flow:
    source = flow.add_node("source").path("source.py")
    numbers = source.add_output("numbers")

    double = Operator("double", python="double.py")
    flow.add_node("processing").add_operator(double.add_input("numbers", numbers))

    sink = flow.add_node("sink").path("sink.py").env({"PREFIX": "doubled:"})
    sink.add_input("numbers", double.add_output("numbers"), queue_size=100)

    flow.to_yaml("dataflow.yml")
