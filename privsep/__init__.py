"""
Everything of netevd that ever runs with privilege. Read this before you change anything here.

The contract
============

1. **Small.** At most 4,200 lines without comments, docstrings and blanks, held by
   tests/promises/test_budget.py. 2,200 were the aim; what took the rest stands in
   docs/decisions/0009 and 0014. What can be asked of it, and of whom (`protocol`, `launch`, `variables`,
   `policy`, `sandbox`, `spawn`, some 800 lines), is read in an hour; all of it takes a morning. It
   imports the standard library and msgspec, pyseccomp in `sandbox`, cryptography in `signatures` once scripts
   have to be signed, pysequoia in `openpgp` if it is there and somebody may sign by it, and, but for the names that
   `confined` starts, never netevd or anything that parses YAML, HTTP or templates.

2. **One role, one privilege.** The supervisor is root and starts the others; it parses no
   configuration and no kernel message. It opens what listens (`listeners`) and never accepts. The
   helper is user netevd-net with CAP_NET_ADMIN: it reads netlink and asks WireGuard devices. A
   runner is what its scripts shall be and starts them. Worker, reader and courier are programs of
   netevd: `confined` imports them and locks them in before their `main` runs.

3. **Bytes up, intent down.** Kernel bytes are forwarded, not understood; of what WireGuard says,
   only what is known to be no secret (`wireguard`). Requests are typed values from a closed union
   (`protocol`), judged by a pure function (`policy`). Four verbs write, rules and routes in ranges of
   netevd's own. No verb takes a path, a name to import or raw bytes; no privileged role accepts a
   descriptor from the worker. The worker's connection to the system bus is made by a fork that has
   become the worker's user (`spawn.start_dialer`). A script is named by its number in a table that the runner itself has
   read and checked (`scripts`), and given typed variables; one of another dispatcher's tree also two
   words, an interface name and one of a closed set (`trees`); the name of an interface, in `Wireguard` and in rules, is looked up and
   never a path of the worker's choice. The one exception are the bytes of a configuration, where
   root's own allows it: a reader judges them, and they go into one file (`configfile`,
   docs/decisions/0011). Worker and courier speak with strangers, so what they say of themselves is
   escaped before it is shown, and counted before it is noted (`audit`).

4. **Nonsense ends.** A message that breaks the protocol ends whoever received it or its peer;
   the privileged side never logs and goes on. Restarting is the supervisor's job, and bounded.
   So that it can do that, the supervisor waits for nothing but its poll: not for a child, a peer or
   a connection. Files it does wait for: the audit log, the configuration file, standard error.

5. **Once, early, inherited.** Identity, capabilities, no_new_privs, limits and seccomp are set
   once, before the first message is read (`sandbox`), and so is the domain of a role, where AppArmor
   or SELinux have one (`domain`). Nothing here gives any of it back.

6. **End of file means death.** The supervisor keeps no end of feed, rpc or scripts. A role whose
   lead or control socket reads end of file stops; a runner ends its scripts first.

Observe mode, for callers who can't change users, is the same code with every identity equal to the
caller's.
"""
