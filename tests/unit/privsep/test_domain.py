"""Which domain a role asks the kernel for. That the kernel gives it is seen in the guests of `make lab`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from privsep import domain
from privsep.mode import Refusal


@pytest.mark.parametrize(
    ("label", "role", "wanted"),
    [
        ("netevd (enforce)\n", "supervisor", "changeprofile netevd//&netevd//supervisor"),
        ("netevd (complain)\n", "worker", "changeprofile netevd//&netevd//worker"),
        (
            "netevd//&netevd//supervisor (enforce)\n",
            "helper",
            "changeprofile netevd//&netevd//helper",
        ),
        ("system_u:system_r:netevd_t:s0\0", "runner", "system_u:system_r:netevd_runner_t:s0"),
        (
            "system_u:system_r:netevd_t:s0-s0:c0.c1023\0",
            "reader",
            "system_u:system_r:netevd_reader_t:s0-s0:c0.c1023",
        ),
    ],
)
def test_role_goes_from_the_supervisors_domain_to_its_own(
    tmp_path: Path, label: str, role: str, wanted: str
) -> None:
    """Under AppArmor it is added to the ceiling, under SELinux the type changes and nothing else does."""
    attribute = tmp_path / "current"
    attribute.write_text(label)

    domain.enter(role, str(attribute))

    assert attribute.read_text() == wanted


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("unconfined\n", "worker"),
        ("netevd-other (enforce)\n", "worker"),
        ("system_u:system_r:initrc_t:s0\0", "worker"),
        ("system_u:system_r:netevd_t:s0\0", "supervisor"),
        ("", "worker"),
    ],
)
def test_who_was_not_started_in_netevds_domain_enters_none(
    tmp_path: Path, label: str, role: str
) -> None:
    """Without the policy nothing changes; the supervisor of SELinux is where it belongs already."""
    attribute = tmp_path / "current"
    attribute.write_text(label)

    domain.enter(role, str(attribute))

    assert attribute.read_text() == label


def test_kernel_without_labels_is_no_obstacle(tmp_path: Path) -> None:
    """Where no attribute can be read, as on a kernel without either control, a role just starts."""
    domain.enter("worker", str(tmp_path / "none"))


def test_role_that_is_not_let_into_its_domain_does_not_start() -> None:
    """The refusal names role, label, domain and what to do. A kernel that refuses is in the guests."""
    attribute = os.memfd_create("attribute", os.MFD_ALLOW_SEALING)
    os.write(attribute, b"netevd (enforce)\n")
    fcntl.fcntl(attribute, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK)

    expected = (
        "the worker can't leave 'netevd .enforce.' for its own domain .*netevd//worker.*: .*policy"
    )
    try:
        with pytest.raises(Refusal, match=expected):
            domain.enter("worker", f"/proc/self/fd/{attribute}")
    finally:
        os.close(attribute)
