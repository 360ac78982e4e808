from dora import Node

with Node() as node:
    for segment in node.stream_reader("audio").segments():
        if segment.complete:
            samples = sum(len(chunk) for chunk in segment.values)
            print(f"segment {segment.segment_id}: {samples} samples")
