"""Engines own backward, clipping, the finite check and the update."""
