"""What processes say to each other: bytes in, bytes out, no sockets."""
