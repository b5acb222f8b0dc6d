"""Arithmetic that takes the place of a module's own: same parameters, names and place, fewer passes over memory."""
