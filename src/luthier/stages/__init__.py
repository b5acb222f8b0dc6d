"""Stages: the life of an adaptation, each a program read top to bottom. No stage imports a stage."""
