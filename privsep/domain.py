"""
The domain of a role under a mandatory access control: its profile in AppArmor, its type in SELinux.

Who is in the supervisor's domain goes over to that of a role, and from there to none: the policies
(apparmor/, selinux/) say so. Neither asks for privilege, so a role goes after it has given up its own,
and its domain need not allow that. Sources: aa_change_profile(2), setcon(3), proc(5).
"""

from __future__ import annotations

from typing import Final

from privsep.mode import Refusal

ATTRIBUTE: Final = "/proc/self/attr/current"


def enter(role: str, attribute: str = ATTRIBUTE) -> None:
    """
    Enter the domain of a role, if the supervisor was started in netevd's own; else do nothing.

    Raises: Refusal, when the policy is there and does not let it: nobody must go on without.
    """
    try:
        with open(attribute, "rb") as file:
            label = file.read().rstrip(b"\0\n").decode(errors="replace")
    except OSError:  # this kernel labels no process
        return
    fields = label.split(":")
    if label.partition(" ")[0] in ("netevd", "netevd//&netevd//supervisor"):
        # under no_new_privs profiles are only added; what the ceiling and the role allow is allowed
        wanted = f"changeprofile netevd//&netevd//{role}"
    elif fields[2:3] == ["netevd_t"] and role != "supervisor":
        wanted = ":".join((*fields[:2], f"netevd_{role}_t", *fields[3:]))
    else:
        return
    try:
        with open(attribute, "wb", buffering=0) as file:
            file.write(wanted.encode())
    except OSError as error:
        raise Refusal(
            f"the {role} can't leave {label!r} for its own domain ({wanted}): {error.strerror};"
            " load the policy of this version of netevd, or unload that of another"
        ) from None
