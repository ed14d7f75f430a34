"""The daemon: starts runs when they are due, exactly once each, and answers those who watch.

It knows rows, processes and the time; no driver, no monkey. What is a run and how one is started it is told by ``cli``.
"""
