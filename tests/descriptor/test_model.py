"""The JSON Schema says what the reader does."""

from __future__ import annotations

import json

from dora.descriptor.model import Dataflow, InputEntry, NodeEntry, json_schema


def test_the_schema_is_json_and_describes_every_key() -> None:
    schema = json.loads(json.dumps(json_schema()))
    for entry in (Dataflow, NodeEntry, InputEntry):
        told = schema["$defs"][entry.__name__]
        assert told["additionalProperties"] is False
        assert set(told["properties"]) == set(entry.__struct_fields__)
        undescribed = [key for key, item in told["properties"].items() if "description" not in item]
        assert not undescribed
    assert schema["$defs"]["NodeEntry"]["required"] == ["id"]
    assert schema["$defs"]["InputEntry"]["required"] == ["source"]
