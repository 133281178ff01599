"""
Everything of netevd that ever runs with privilege. Read this before you change anything here.

The contract
============

1. **Small.** At most 3,500 lines without comments, docstrings and blanks, held by
   tests/promises/test_budget.py. It imports the standard library and msgspec, pyseccomp in
   `sandbox`, and never netevd or anything that parses YAML, HTTP or templates. What makes it
   larger needs a reason in docs/decisions/.

2. **One role, one privilege.** The supervisor is root and starts the others; it parses no
   configuration and no kernel message. The helper is user netevd-net with CAP_NET_ADMIN and reads
   netlink. A runner is what its scripts shall be and starts them. The worker and the reader are
   programs of netevd: `confined` imports them and locks them in before their first own line runs.

3. **Bytes up, intent down.** Kernel bytes are forwarded, not understood. Requests are typed values
   from a closed union (`protocol`), judged by a pure function (`policy`). No verb takes a path, a
   name to import or raw bytes; no privileged role accepts a descriptor from the worker. A script is
   named by its number in a table that the runner itself has read and checked (`scripts`). The one
   exception are the bytes of a configuration, where root's own allows it: a reader judges them, and
   they go into one file (`configfile`, docs/decisions/0011).

4. **Nonsense ends.** A message that breaks the protocol ends whoever received it or its peer;
   the privileged side never logs and goes on. Restarting is the supervisor's job, and bounded.

5. **Once, early, inherited.** Identity, capabilities, no_new_privs, limits and seccomp are set
   once, before the first message is read (`sandbox`). Nothing here gives any of it back.

6. **End of file means death.** The supervisor keeps no end of feed, rpc or scripts. A role whose
   lead or control socket reads end of file stops; a runner ends its scripts first.

Observe mode, for callers who can't change users, is the same code with every identity equal to the
caller's.
"""
