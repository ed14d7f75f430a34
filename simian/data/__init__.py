"""Drivers of the port ``Data``: what users have written, as replicas and caches have it (docs/design.md, section 3)."""
