"""When runs are due: kinds of schedules, their arithmetic, what would happen, and the alarm clock.

Rows are kept by ``simian.history``; here is nothing but what follows from a row and the time.
"""
