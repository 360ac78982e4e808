from dora import Node

with Node() as node:
    goal = node.send_goal("goal", [3])
    metres = [feedback["value"][0].as_py() for feedback in goal]
    print(metres, goal.result()["value"][0].as_py(), goal.status)

    goal = node.send_goal("goal", [1_000_000])
    for feedback in goal:
        if feedback["value"][0].as_py() == 2:
            goal.cancel()
    print("far enough:", goal.status)
