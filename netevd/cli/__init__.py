"""
The commands: one module a verb group, loaded when it is called.

Data goes to standard output, words to standard error; exit codes are those of `netevd.cli.exits`.
Nothing here decides what the daemon decides: it asks the same code.
"""
