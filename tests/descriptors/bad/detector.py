from dora import Node

for _event in Node():
    pass
