"""Running a dataflow in the foreground: for `dora run` and for programs that call `dora.run`."""
