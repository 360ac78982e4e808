"""Receives in asyncio, as the specification has it: other tasks go on while it waits."""


async def process_async(value):
    await asyncio.sleep(0.01)  # a database, a web service...
    return value * 10


import asyncio
from dora import Node

async def main():
    node = Node()

    async for event in node:
        if event["type"] == "INPUT":
            # Async processing
            result = await process_async(event["value"])
            node.send_output("result", result)

        elif event["type"] == "STOP":
            break

asyncio.run(main())
