"""Drivers of the port ``Steering``: where users go (docs/design.md, section 3)."""
