"""Saving all of it, and a machine made from that."""
