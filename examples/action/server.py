import time

from dora import Node


def drive(goal):
    for metre in range(goal.value[0].as_py()):
        if goal.cancel_requested:
            return goal.cancel([metre])
        time.sleep(0.005)
        goal.feedback([metre + 1])
    return ["arrived"]


with Node() as node:
    node.serve_goals("goal", drive)
