from dora import Node


def divide(request):
    left, right = request["value"].to_pylist()
    return [left / right]


with Node() as node:
    node.serve({"divide": divide})
