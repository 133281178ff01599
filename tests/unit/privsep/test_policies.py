"""The filters of roles as the kernel would run them, for both machines, whichever this one is."""

from __future__ import annotations

import errno
import struct

import pyseccomp
import pytest

from privsep import sandbox

MACHINES = {"x86-64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}
AUDIT = {"x86-64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls them. Source: linux/audit.h."""
KILL, ALLOW, LOG = 0x80000000, 0x7FFF0000, 0x7FFC0000
"""What a filter answers. Source: linux/seccomp.h."""
REFUSED = 0x00050000 | errno.EPERM
NEVER = """
    execve execveat fork vfork clone clone3 ptrace process_vm_readv process_vm_writev kill tkill tgkill
    pidfd_send_signal setuid setgid setresuid setgroups capset mount umount2 pivot_root chroot setns
    unshare bpf io_uring_setup keyctl init_module kexec_load reboot bind listen chmod fchmodat chown
    mknodat symlinkat linkat personality seccomp landlock_restrict_self open_by_handle_at
""".split()
"""What no role that is locked in may do."""
PAIRS = {
    "open": "openat", "stat": "newfstatat", "lstat": "newfstatat", "poll": "ppoll", "access": "faccessat",
    "epoll_wait": "epoll_pwait", "readlink": "readlinkat", "rename": "renameat2", "unlink": "unlinkat", "mkdir": "mkdirat",
}  # fmt: skip
"""What only the older machine has, and what both have instead."""

roles = pytest.mark.parametrize("role", sandbox.POLICIES)
machines = pytest.mark.parametrize("machine", MACHINES)


def answer(program: bytes, machine: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Return what a filter answers to a call: classic BPF over struct seccomp_data. Source: bpf(4)."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, machine, 0, *padded)
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator = place = 0
    while True:
        code, yes, no, k = instructions[place]
        place += 1
        match code:
            case 0x20:  # load a word of the data
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:  # and
                accumulator &= k
            case 0x05:  # jump
                place += k
            case 0x15:  # jump if equal
                place += yes if accumulator == k else no
            case 0x25:  # if greater
                place += yes if accumulator > k else no
            case 0x35:  # if greater or equal
                place += yes if accumulator >= k else no
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"instruction {code:#x}")


def number(machine: str, name: str) -> int | None:
    """Return the number of a call there, None if there is none."""
    found = pyseccomp.resolve_syscall(MACHINES[machine], name)
    return int(found) if found >= 0 else None


@roles
@machines
def test_what_is_listed_passes_and_what_is_dangerous_does_not(role: str, machine: str) -> None:
    """On either machine, by the numbers that calls have there."""
    program = sandbox.build_filter(role, machine=MACHINES[machine])

    for name in sandbox.POLICIES[role].calls:
        if (call := number(machine, name)) is not None:
            assert answer(program, AUDIT[machine], call) == ALLOW, name
    for name in NEVER:
        if (call := number(machine, name)) is not None and not (
            role == "courier" and name == "clone3"
        ):
            assert answer(program, AUDIT[machine], call) == REFUSED, name


@roles
@machines
def test_calls_of_another_machine_end_the_process(role: str, machine: str) -> None:
    """Numbers mean something else there, so whoever comes with them is ended."""
    program = sandbox.build_filter(role, machine=MACHINES[machine])

    for other in (0x40000003, 0x40000028, *AUDIT.values()):  # i386, ARM of 32 bits
        if other != AUDIT[machine]:
            assert answer(program, other, 0) & 0xFFFF0000 in {KILL, 0}


@roles
def test_nothing_that_a_machine_lacks_is_all_there_is(role: str) -> None:
    """Whoever may make a call that newer machines do not have may make the one they have instead."""
    calls = sandbox.POLICIES[role].calls

    assert [name for name, instead in PAIRS.items() if name in calls and instead not in calls] == []


@machines
def test_courier_has_sockets_of_two_families_and_threads(machine: str) -> None:
    """By argument: IPv4 and IPv6; what the C library asks for besides is refused; no process."""
    program = sandbox.build_filter("courier", machine=MACHINES[machine])

    def ask(name: str, *arguments: int) -> int:
        call = number(machine, name)
        assert call is not None
        return answer(program, AUDIT[machine], call, arguments)

    assert [ask("socket", family, 1) for family in (2, 10)] == [ALLOW] * 2
    assert [ask("socket", family, 1) & 0xFFFF0000 for family in (1, 16, 17, 40)] == [0x00050000] * 4
    assert ask("clone", 0x3D0F00) == ALLOW
    assert ask("clone", 17) == REFUSED
    assert ask("clone3") == 0x00050000 | errno.ENOSYS
    assert (ask("prctl", 15), ask("prctl", 4, 1)) == (ALLOW, REFUSED)
    assert (ask("prlimit64", 0), ask("prlimit64", 1)) == (ALLOW, REFUSED)


@machines
def test_worker_can_neither_break_nor_turn_round_what_it_shares(machine: str) -> None:
    """By argument: it ends writing alone, sets delay and buffers, and makes pairs of streams, not of datagrams."""
    program = sandbox.build_filter("worker", machine=MACHINES[machine])

    def ask(name: str, *arguments: int) -> int:
        call = number(machine, name)
        assert call is not None
        return answer(program, AUDIT[machine], call, arguments)

    assert [ask("shutdown", 7, how) for how in (0, 1, 2)] == [REFUSED, ALLOW, REFUSED]
    options = [
        (6, 1),
        (6, 25),
        (1, 7),
        (1, 8),
        (6, 23),
        (6, 9),
        (1, 25),
        (1, 26),
        (1, 50),
        (0, 21),
        (0, 6),
    ]
    found = [ask("setsockopt", 7, *each) == ALLOW for each in options]
    assert found == [True] * 4 + [False] * 7
    kinds = (1, 1 | 0o2000000, 1 | 0o4000, 2, 2 | 0o2000000, 3, 5)
    assert [ask("socketpair", 1, kind) == ALLOW for kind in kinds] == [True] * 3 + [False] * 4


@pytest.mark.parametrize(("how", "expected"), [("enforce", REFUSED), ("log", LOG), ("trap", KILL)])
def test_each_way_answers_as_it_says(how: str, expected: int) -> None:
    """A call that is not listed fails, is logged, or ends the process."""
    program = sandbox.build_filter("helper", how, MACHINES["x86-64"])

    assert answer(program, AUDIT["x86-64"], 59) == expected


def test_tests_alone_trap() -> None:
    """What the configuration can say is one of three; only the supervisor's environment makes a trap of it."""
    before = sandbox.traps
    try:
        sandbox.traps = False
        assert [sandbox.choose(how) for how in ("enforce", "log", "off")] == [
            "enforce",
            "log",
            "off",
        ]
        sandbox.traps = True
        assert [sandbox.choose(how) for how in ("enforce", "log", "off")] == ["trap", "log", "off"]
    finally:
        sandbox.traps = before


def test_unknown_names_are_found_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that libseccomp does not know is left out of the filter, and told."""
    helper = sandbox.POLICIES["helper"]
    before = sandbox.find_unknown_calls()
    monkeypatch.setitem(
        sandbox.POLICIES, "helper", helper._replace(calls=[*helper.calls, "warp_drive"])
    )

    assert sandbox.find_unknown_calls() == sorted([*before, "warp_drive"])
    assert sandbox.build_filter.__wrapped__("helper") == sandbox.build_filter("helper")
