"""The descriptors and the memory by which messages go from process to process."""
