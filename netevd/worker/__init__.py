"""
The composition root of the unprivileged side: sockets in, engine in the middle, effects out.

Only this package knows Trio and the sockets of the roles. It decides nothing: what shall happen is
netevd.core's, how it is done is here.
"""
