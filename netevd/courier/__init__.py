"""
The courier: the one process of netevd that connects to other machines, to post events to webhooks.

It knows what the reader has put into its sealed memory (`config.targets`) and what the worker asks
for: a number, and what to post. It decides nothing but whether an address may be posted to. Its user
is the worker's with another group; what its filter allows stands in privsep.sandbox, and why in
docs/decisions/0012.
"""
