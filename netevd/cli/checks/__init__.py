"""
What `netevd doctor` looks at, one module a subject.

Each check yields findings, changes nothing and waits for nothing. What the daemon itself decides
(mode, configuration, verdict on each script) comes with the case. How findings are shown is
`cli.doctor`'s.
"""
