"""The command line: one file a verb, no logic. Nothing here imports torch before a verb runs."""
