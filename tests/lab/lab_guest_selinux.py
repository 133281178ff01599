"""SELinux, which this machine's kernel does not have, in a guest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.lab import guest, policy


def test_selinux_enforced(record_property: Callable[[str, object], None]) -> None:
    """The daemon works in its domains; what a role must not do is refused and recorded."""
    outcome = guest.run(
        guest.call_pytest("guest_selinux.py"),
        "security=selinux", "selinux=1", "enforcing=0",
        prepare=give_policy,
    )  # fmt: skip

    outcome.expect_success(record_property, ", SELinux")


def give_policy(given: Path) -> None:
    """Link the module with the guest's own policy, and label what the guest is given by both."""
    rootfs = guest.find_rootfs()
    linked = given / "linked"
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "module").mkdir()
        module = policy.compile_module(Path(work) / "module")
        base = policy.unpack_base(
            rootfs / "var/lib/selinux/default/active/modules/100", Path(work) / "base"
        )
        linked.mkdir()
        # the tests in the guest are initrc_t, which is unconfined but may not listen to refusals
        listens = Path(work) / "listens.cil"
        listens.write_text("(allow initrc_t self (capability2 (audit_read)))\n")
        policy.link(base, [module, listens], linked / "policy", "--disable-dontaudit")
        contexts = (rootfs / guest.CONTEXTS[1:]).read_text() + policy.read_contexts(module)
    (linked / "file_contexts").write_text(contexts)
    guest.label_given(given, linked / "file_contexts")
