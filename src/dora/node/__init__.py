"""A node: the user's own process, seen from inside."""
