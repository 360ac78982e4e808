"""Logs with the standard library, as the specification has it; ends after three events."""

from itertools import islice

from dora import Node

node = islice(Node(), 3)

import logging

logging.basicConfig(level=logging.DEBUG)
logger = logging.getLogger(__name__)

for event in node:
    logger.debug(f"Received event: {event['type']}")
