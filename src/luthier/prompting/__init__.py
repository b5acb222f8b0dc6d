"""Prompting: strategies as generators of requests; they hold no model and do no input or output."""
