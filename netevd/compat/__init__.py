"""
How scripts of other dispatchers are called: an event in, arguments and variables out.

Belongs here: one module a convention, pure functions over an event. What each does is written, with what differs
and why, in docs/compatibility.md. Does not belong here: which files there are and whether they may
be run (the runner), when a call is made (core.runs).
"""
