"""
The commands: one file a verb group, loaded when it is asked for.

Belongs here: what a person or script types, and what comes out on the terminal. Nothing is decided
here; the commands that need no daemon use config, core and kernel as the worker does, and what
needs the script user's identity is asked of `python -I -m privsep once`.
"""
