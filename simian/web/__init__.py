"""The API and the dashboard: a process of its own that holds no driver and cannot reach an engine.

What it shows it reads from the history's database; whatever is to be done, or to be seen now, it asks of the daemon, at
the socket named to it (docs/wire.md). ``python -m simian.web`` is that process.
"""
