"""Bringing what nodes need: repositories, files, environments, `build` lines."""
