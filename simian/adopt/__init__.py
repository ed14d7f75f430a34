"""Anybody's compose project brought under simian: what to write into simian.yaml, and into an override beside it."""
