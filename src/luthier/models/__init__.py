"""Models: where they come from, what they can do, and the one module through which everything reads them."""
