"""The two-region system (docs/wire.md, docs/design.md)."""
