from dora import Node, RemoteError

with Node() as node:
    answer = node.request("divide", [22, 7], timeout=5.0)
    print("22 / 7 =", answer["value"][0].as_py())
    try:
        node.request("divide", [1, 0], timeout=5.0)
    except RemoteError as exc:
        print("the server says:", exc)
