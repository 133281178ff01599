"""
The HTTP API: what view and steering offer, as JSON and as a stream. Imported when the first client comes.

Belongs here: paths, parameters, status codes, connections. What is told is report.view's.
"""
