from dora import Node

with Node() as node:
    for number in range(4):
        time_s = number * 0.1
        node.send_output("camera", [number], {"stamp": time_s})
        if number != 2:
            node.send_output("lidar", [number * 10], {"stamp": time_s + 0.004})
