"""The daemon: spawns, wires, supervises and reports; it never touches a payload."""
