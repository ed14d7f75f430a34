"""See docs/design.md, section 4 (layout)."""
