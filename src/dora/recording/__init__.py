"""Recordings: what outputs sent, in MCAP files that viewers open, written and read back."""
