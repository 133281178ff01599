"""
What a script or a configuration would do, tried without a daemon.

Belongs here: the runner lent by `python -I -m privsep once`, the conversation with it, the event that
is made up, and what is told of both. The command lines are `cli.test`'s and `cli.list`'s. Nothing
here asks a running daemon.
"""
