"""Scripts that have to be signed, as a runner with a real uid runs and refuses them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privsep import manifest, signatures
from privsep.protocol import Accepted, Audit, Forget, Run
from tests.boundary.rig import RunnerRig, receive, script_identity, wait_for, write_script
from tests.boundary.signing import Signer, put

Start = Callable[..., RunnerRig]
USER = signatures.find_name(script_identity().uid)
SAY = "#!/bin/sh\necho one\n"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Return a key that may sign."""
    return Signer(tmp_path)


@pytest.fixture
def start(root: Path, signer: Signer) -> Iterator[Start]:
    """Return a function that starts a runner over `root` that wants signatures of `signer`."""
    rigs: list[RunnerRig] = []

    def begin(
        signers: list[str] | None = None, versions: dict[str, int] | None = None
    ) -> RunnerRig:
        rigs.append(
            RunnerRig(
                [str(root)], ["routable", "carrier"],
                signers=[signer.fingerprint] if signers is None else signers, versions=versions or {},
            )
        )  # fmt: skip
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.close()


def reasons(runner: RunnerRig) -> dict[str, str]:
    """Return why each file is not run."""
    return {entry.name: entry.reason for entry in runner.entries()}


def told(runner: RunnerRig, kind: type, count: int) -> list[object]:
    """Return the first messages of a kind to the supervisor, so many, passing over others."""
    found: list[object] = [each for each in runner.early if isinstance(each, kind)]
    while len(found) < count:
        message, _ = receive(runner.lead)
        found += [message] if isinstance(message, kind) else []
    return found


def test_signed_script_runs_from_a_sealed_copy(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """It runs with its output, knows its path by a variable, and can't alter what it is."""
    text = '#!/bin/sh\necho "$NETEVD_SCRIPT_PATH $0"\necho >> $0 || echo sealed\nls /proc/$$/fd\n'
    write_script(directory, "10-say", text)
    signer.sign_root(root, 1, {"routable.d/10-say": USER})
    runner = start()

    runner.start(1, "10-say")
    assert runner.finish().status == 0

    path, name, sealed, *descriptors = runner.output(1).split()
    assert (path, name) == (f"{directory}/10-say", "/proc/self/fd/3")
    assert sealed == "sealed"
    assert set(descriptors) <= {"0", "1", "2", "3", "10"}


def test_signed_program_runs(root: Path, directory: Path, signer: Signer, start: Start) -> None:
    """What is no text but a program runs from its copy too."""
    (directory / "10-id").write_bytes(Path("/usr/bin/id").read_bytes())
    (directory / "10-id").chmod(0o755)
    signer.sign_root(root, 1, {"routable.d/10-id": USER})
    runner = start()

    runner.start(1, "10-id")
    assert runner.finish().status == 0
    assert f"uid={script_identity().uid}" in runner.output(1)


def test_unsigned_and_altered_files_are_told_and_never_run(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """Each has its reason in the table, and an audit record where a log is kept; asked for they are refused."""
    for name in ("10-signed", "20-unsigned", "30-altered"):
        write_script(directory, name, SAY)
    (directory / "40-masked").symlink_to("/dev/null")
    signer.sign_root(root, 1, {"routable.d/10-signed": USER, "routable.d/30-altered": USER})
    write_script(directory, "30-altered", "#!/bin/sh\necho two\n")
    runner = start()

    found = reasons(runner)
    assert found["10-signed"] == ""
    assert "not signed" in found["20-unsigned"] and "netevd sign add" in found["20-unsigned"]
    assert "altered since it was signed" in found["30-altered"]
    for number, name in enumerate(("20-unsigned", "30-altered"), 1):
        assert found[name] == runner.refuse(number, runner.entry(name).id)
    records = [each for each in told(runner, Audit, 3) if isinstance(each, Audit)]
    assert [(each.what, each.outcome) for each in records] == [
        ("manifest", "accepted"), ("script", "refused"), ("script", "refused")
    ]  # fmt: skip
    assert "20-unsigned" in records[1].detail and "30-altered" in records[2].detail


def test_name_and_user_are_bound(root: Path, directory: Path, signer: Signer, start: Start) -> None:
    """A signed script in another's place, a link to one, and one signed for another user are refused."""
    write_script(directory, "10-one", SAY)
    write_script(directory, "20-two", "#!/bin/sh\necho two\n")
    write_script(directory, "30-root", SAY)
    users = {"routable.d/10-one": USER, "routable.d/20-two": USER, "routable.d/30-root": "root"}
    if USER == "root":
        users["routable.d/30-root"] = "somebody"
    signer.sign_root(root, 1, users)
    (directory / "10-one").rename(directory / "swap")
    (directory / "20-two").rename(directory / "10-one")
    (directory / "swap").rename(directory / "20-two")
    (directory / "40-link").symlink_to("20-two")
    runner = start()

    found = reasons(runner)
    assert "altered" in found["10-one"] and "altered" in found["20-two"]
    assert f"for user {users['routable.d/30-root']}, and would run as {USER}" in found["30-root"]
    assert "does not name it" in found["40-link"]


def test_link_to_what_was_signed_under_its_name_runs(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """A link counts by its own name and by what it leads to."""
    write_script(root, "shared", SAY)
    (directory / "10-link").symlink_to("../shared")
    signer.sign_root(root, 1, {"routable.d/10-link": USER})
    runner = start()

    runner.start(1, "10-link")
    assert runner.finish().status == 0
    write_script(root, "shared", "#!/bin/sh\necho two\n")
    assert "altered" in runner.refuse(2, runner.entry("10-link").id)


def test_tampering_after_the_table_was_read_is_refused(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """What was fine when it was listed is looked at again when it is to run."""
    script = write_script(directory, "10-say", SAY)
    signer.sign_root(root, 1, {"routable.d/10-say": USER})
    runner = start()
    entry = runner.entry("10-say").id
    before = os.stat(script)

    with open(script, "r+b") as file:  # in place: same file, same times, same size
        file.write(SAY.replace("one", "two").encode())
    os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))
    runner.scripts.send(Run(1, entry, []))

    message, _ = receive(runner.scripts)
    while not hasattr(message, "reason"):  # the table, which may come first
        message, _ = receive(runner.scripts)
    assert "altered" in message.reason or "not in the table" in message.reason


def test_file_that_is_rewritten_all_the_time_runs_as_signed_or_not_at_all(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """Whoever exchanges it between copy and exec gains nothing: no run ever shows the other text."""
    script = write_script(directory, "10-say", SAY)
    signer.sign_root(root, 1, {"routable.d/10-say": USER})
    runner = start()
    program = (
        f"import os\nwhile True:\n  for t in (b'two', b'one'):\n"
        f"    with open({str(script)!r}, 'r+b') as f: f.seek(15); f.write(t)\n"
    )
    racer = subprocess.Popen([sys.executable, "-c", program])
    started = refused = 0
    try:
        for number in range(1, 2000):
            runner.scripts.send(Run(number, runner.entry("10-say").id, []))
            message, descriptors = receive(runner.scripts)
            while type(message).__name__ == "Entries":
                message, descriptors = receive(runner.scripts)
            if descriptors:
                runner.pipes[number] = descriptors
                assert runner.finish().status == 0
                assert runner.output(number) == "one\n"
                for each in runner.pipes.pop(number):
                    os.close(each)
                runner.scripts.send(Forget(number))
                started += 1
            else:
                refused += 1
            if started >= 10 and refused >= 10:
                break
    finally:
        racer.kill()
        racer.wait()
    assert started and refused


def test_signed_anew_is_known_at_once(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """A manifest that changes is taken up by itself; what it names runs, what it leaves out does not."""
    write_script(directory, "10-one", SAY)
    write_script(directory, "20-two", SAY)
    signer.sign_root(root, 1, {"routable.d/10-one": USER})
    runner = start()
    assert reasons(runner)["20-two"]

    signer.sign_root(root, 2, {"routable.d/20-two": USER})

    assert receive(runner.scripts)[0]  # without being asked
    wait_for(
        lambda: (found := reasons(runner))["20-two"] == "" and found["10-one"] != "",
        "the new table",
    )
    runner.start(1, "20-two")
    versions = told(runner, Accepted, 2)
    assert versions == [Accepted(str(root), 1), Accepted(str(root), 2)]


def test_there_is_no_moment_without_a_manifest_that_fits(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """Between the steps of whoever signs anew, scripts that did not change run on."""
    write_script(directory, "10-say", SAY)
    signer.sign_root(root, 1, {"routable.d/10-say": USER})
    runner = start()
    text = manifest.encode(manifest.decode((root / manifest.NAME).read_bytes())._replace(version=2))

    (root / manifest.SIGNATURES[1]).write_bytes(signer.sign(text))
    runner.start(1, "10-say")
    runner.finish()
    (root / "new").write_bytes(text)
    (root / "new").rename(root / manifest.NAME)
    runner.start(2, "10-say")
    runner.finish()
    (root / manifest.SIGNATURES[1]).rename(root / manifest.SIGNATURES[0])
    runner.start(3, "10-say")
    runner.finish()


@pytest.mark.parametrize("again", [False, True])
def test_old_manifest_is_refused(
    root: Path, directory: Path, signer: Signer, start: Start, again: bool
) -> None:
    """A lower version than one that was believed is none, by this runner and by the next."""
    write_script(directory, "10-say", SAY)
    old = signer.sign_root(root, 6, {"routable.d/10-say": USER})
    signer.sign_root(root, 7, {"routable.d/10-say": USER})
    runner = start(versions={str(root): 7} if again else None)
    assert reasons(runner)["10-say"] == ""

    put(root, *old)

    wait_for(lambda: "version 7 or higher" in reasons(runner)["10-say"], "refusal of the old one")


def test_manifest_of_another_root_is_none(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """What was signed for one root can't be carried to another."""
    write_script(directory, "10-say", SAY)
    text, _ = signer.sign_root(root, 1, {"routable.d/10-say": USER})
    other = text.replace(f"root {root}".encode(), b"root /etc/netevd")
    put(root, other, signer.sign(other))

    assert "it is of /etc/netevd" in reasons(start())["10-say"]


def test_each_allowed_signer_is_enough_and_no_other(
    root: Path, directory: Path, signer: Signer, tmp_path: Path, start: Start
) -> None:
    """Two may sign, in turn; a third one may not, nor one that is not allowed any more."""
    write_script(directory, "10-say", SAY)
    second, third = Signer(tmp_path, "second"), Signer(tmp_path, "third")
    both = [signer.fingerprint, second.fingerprint]
    users = {"routable.d/10-say": USER}
    signer.sign_root(root, 1, users)
    runner = start(both)
    assert reasons(runner)["10-say"] == ""
    second.sign_root(root, 2, users)
    wait_for(lambda: reasons(runner)["10-say"] == "", "the second one's")
    third.sign_root(root, 3, users)
    wait_for(lambda: third.fingerprint in reasons(runner)["10-say"], "refusal of the third one's")
    second.sign_root(root, 4, users)

    assert "not in security.allowed_signers" in reasons(start([signer.fingerprint]))["10-say"]


@pytest.mark.parametrize(
    "kind", ["missing", "namespace", "unarmored", "torn", "manifest", "huge", "fifo"]
)
def test_manifest_that_is_not_believed_lets_nothing_run(
    root: Path, directory: Path, signer: Signer, start: Start, kind: str
) -> None:
    """Whatever is wrong with manifest or signature: it is said, nothing runs and nothing waits."""
    write_script(directory, "10-say", SAY)
    text, signature = signer.sign_root(root, 1, {"routable.d/10-say": USER})
    paths = root / manifest.NAME, root / manifest.SIGNATURES[0]
    match kind:
        case "missing":
            paths[1].unlink()
        case "namespace":
            put(root, text, signer.sign(text, namespace="file"))
        case "unarmored":
            paths[1].write_bytes(signature[40:])
        case "torn":
            paths[1].write_bytes(signature[:-40])
        case "manifest":
            other = text + b"\n"
            put(root, other, signer.sign(other))
        case "huge":
            paths[0].write_bytes(text + b"#" * manifest.LIMIT)
        case "fifo":
            paths[0].unlink()
            os.mkfifo(paths[0])
    expected = {
        "missing": "can't be read", "namespace": "for something else", "unarmored": "none of OpenSSH's",
        "torn": "none of OpenSSH's", "manifest": "its lines", "huge": "at most", "fifo": "no regular file",
    }  # fmt: skip
    runner = start()

    reason = reasons(runner)["10-say"]
    assert (
        reason.startswith(f"the manifest {root}/{manifest.NAME} is not believed")
        and expected[kind] in reason
    )
    assert runner.refuse(1, runner.entry("10-say").id) == reason


def test_script_beyond_the_limit_is_refused(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """A script of more than 16 MiB is never copied; one of exactly that runs."""
    for name, size in (
        ("10-most", signatures.SCRIPT_LIMIT),
        ("20-more", signatures.SCRIPT_LIMIT + 1),
    ):
        write_script(directory, name, "#!/bin/sh\nexit 0\n")
        with open(directory / name, "ab") as file:
            file.write(b"\n" * (size - file.tell()))
    signer.sign_root(root, 1, {"routable.d/10-most": USER, "routable.d/20-more": USER})
    runner = start()

    assert "at most" in reasons(runner)["20-more"]
    runner.start(1, "10-most")
    assert runner.finish().status == 0


def test_scripts_of_rules_are_listed_for_their_user(
    root: Path, directory: Path, signer: Signer, start: Start
) -> None:
    """The runner of scripts without a rule lists what another one is to run, and never runs it itself."""
    write_script(directory, "10-root", SAY)
    write_script(directory, "20-own", SAY)
    other = "root" if USER != "root" else "daemon"
    signer.sign_root(root, 1, {"routable.d/10-root": other, "routable.d/20-own": USER})
    runner = RunnerRig(
        [str(root)],
        ["routable"],
        signers=[signer.fingerprint],
        others={f"{directory}/10-root": other},
    )
    try:
        assert reasons(runner) == {"10-root": "", "20-own": ""}
        assert f"would run as {USER}" in runner.refuse(1, runner.entry("10-root").id)
    finally:
        runner.close()


def test_nothing_is_copied_where_memory_can_not_be_executed(
    root: Path, directory: Path, signer: Signer
) -> None:
    """With vm.memfd_noexec=2 no script runs, and the table says that no copy can be made."""
    if os.geteuid() != 0 or not os.path.exists("/proc/sys/vm/memfd_noexec"):
        pytest.skip("needs root and a kernel that has the setting for each pid namespace")
    program = (
        "open('/proc/sys/vm/memfd_noexec', 'w').write('2')\n"
        "from privsep import signatures\n"
        "try: signatures.make_memory()\n"
        "except OSError as error: print(error.strerror)\n"
    )
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program]
    shown = subprocess.run(words, capture_output=True, text=True, check=True)
    assert shown.stdout == "Permission denied\n"
