"""Changes of the schema of the history, in order; run by ``simian.history.migrate``."""
