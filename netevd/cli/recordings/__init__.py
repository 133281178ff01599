"""
What the kernel tells, kept in a file, and run through an engine in virtual time.

Belongs here: recording, playing back, and the answers to dumps on the way. The files themselves are
kernel.recording's, the command lines `cli.record`'s and `cli.replay`'s.
"""
