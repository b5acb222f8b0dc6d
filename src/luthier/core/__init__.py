"""Contracts that every other part of Luthier is built on. Nothing here imports torch."""
