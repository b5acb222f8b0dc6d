"""Generation: a batched engine over the packed forward, and the driver that pools strategies' requests."""
