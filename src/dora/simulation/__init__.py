"""Nodes in processes of their own, under one coordinator with a virtual clock."""
