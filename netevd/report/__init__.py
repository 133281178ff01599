"""
What the daemon tells of itself: log records now; metrics, journal and views later.

Nothing here decides or waits; a sink gets values and writes them out.
"""
