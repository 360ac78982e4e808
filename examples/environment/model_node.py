"""Reads its settings from the dataflow's `env`, as the specification has it."""

from dora import Node

import os

model_path = os.environ.get("MODEL_PATH", "default.pt")
device = os.environ.get("DEVICE", "cpu")

node = Node()
print(f"{model_path} on {device}")
