"""`make run` and `make uninstall`: what they make, what they leave alone, what they take away."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from privsep.mode import MAKE_USERS

PACKAGING = Path(__file__).resolve().parent.parent.parent / "packaging"
USERS = {"netevd", "netevd-net", "netevd-script"}


def load(name: str) -> ModuleType:
    """Return one of the scripts, which have no ending, as a module."""
    loader = SourceFileLoader(f"packaging_{Path(name).stem}", str(PACKAGING / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


quickstart = load("quickstart.py")
environment = load("environment")


def modes(top: Path) -> set[tuple[bool, int]]:
    """Return whether it is a directory, and the mode, of all that is below a directory."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in top.rglob("*")}


def test_quickstart_is_copied_whole_and_names_the_place_it_is_in(tmp_path: Path) -> None:
    """Every script is there and executable, and the settings point to the copy."""
    made, kept = quickstart.copy(tmp_path / "copy")

    originals = {path.relative_to(quickstart.SOURCE) for path in quickstart.SOURCE.rglob("*")}
    assert {path.relative_to(tmp_path / "copy") for path in made} == originals | {Path()}
    assert kept == []
    assert made[-1].name == "netevd.yaml"
    assert f"directory: {tmp_path / 'copy'}\n" in made[-1].read_text()
    assert modes(tmp_path / "copy") == {(True, 0o755), (False, 0o755), (False, 0o644)}


def test_quickstart_of_a_user_is_closed_to_others(tmp_path: Path) -> None:
    """Without root nobody else can read, let alone write, what the daemon runs."""
    quickstart.copy(tmp_path / "copy", others=False)

    assert modes(tmp_path / "copy") == {(True, 0o700), (False, 0o700), (False, 0o600)}


def test_quickstart_overwrites_nothing(tmp_path: Path) -> None:
    """A file, a link and even a file in a directory's place stay what they are."""
    (tmp_path / "off.d").mkdir()
    (tmp_path / "off.d/10-say").write_text("mine")
    (tmp_path / "netevd.yaml").symlink_to("/nowhere")
    (tmp_path / "carrier.d").write_text("a file where a directory would be")

    _, kept = quickstart.copy(tmp_path)

    assert {path.name for path in kept} == {"10-say", "netevd.yaml"}
    assert (tmp_path / "off.d/10-say").read_text() == "mine"
    assert os.readlink(tmp_path / "netevd.yaml") == "/nowhere"
    assert (tmp_path / "carrier.d").is_file()


def test_what_was_removed_of_the_quickstart_is_not_made_again(tmp_path: Path) -> None:
    """A script or directory that the administrator took away stays away."""
    left_out = [tmp_path / "copy/off.d", tmp_path / "copy/carrier.d/10-say"]

    made, _ = quickstart.copy(tmp_path / "copy", leave_out=left_out)

    assert not (tmp_path / "copy/off.d").exists()
    assert not (tmp_path / "copy/carrier.d/10-say").exists()
    assert (tmp_path / "copy/routable.d/10-say") in made


@pytest.mark.parametrize("directory", ["plain", "with space", "it's", "long" * 40])
def test_command_runs_from_a_clone_anywhere(tmp_path: Path, directory: str) -> None:
    """A path with a space or a quote, or longer than a first line may be, is no obstacle."""
    place = tmp_path / directory
    place.mkdir()
    (place / "python").symlink_to(sys.executable)
    command = place / "command"
    command.write_text(environment.first_lines(str(place / "python")) + "print('it runs')\n")
    command.chmod(0o755)

    result = subprocess.run([str(command)], capture_output=True, text=True, check=False)

    assert (result.stdout, result.stderr) == ("it runs\n", "")


def test_interpreter_in_a_closed_home_is_told_from_an_open_one(tmp_path: Path) -> None:
    """The directory that others can't enter is named; what they can use is not refused."""
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    shutil.copyfile("/bin/sh", home / "bin/python3")
    (home / "bin/python3").chmod(0o755)
    home.chmod(0o700)
    closed = environment.find_closed(str(home / "bin/python3"))

    assert closed is not None
    assert Path(closed) in [home, *home.parents]
    assert environment.find_closed("/bin/sh") is None


def run_apart(tmp_path: Path, steps: str) -> subprocess.CompletedProcess[str]:
    """Run shell steps on a machine of their own: a copy of /etc without our users, an empty /opt."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make users, in a mount namespace")
    etc = tmp_path / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        lines = (etc / name).read_text().splitlines(keepends=True)
        (etc / name).write_text("".join(x for x in lines if not x.startswith("netevd")))
    shutil.rmtree(etc / "netevd", ignore_errors=True)
    (tmp_path / "opt").mkdir()
    (tmp_path / "env").mkdir()
    script = (
        f"set -e\nmount --bind {sys.prefix} {tmp_path}/env\n"
        f"mount --bind {etc} /etc\nmount --bind {tmp_path}/opt /opt\n{steps}"
    )
    result = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script],
        cwd=PACKAGING.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare:" in result.stderr:
        pytest.skip("this system gives no mount namespace of its own (a chroot does not)")
    return result


INSTALL = "/usr/bin/python3 packaging/install"


def test_users_are_made_and_taken_away_again(tmp_path: Path) -> None:
    """Three users and groups come, one may read the settings, and uninstalling leaves none."""
    result = run_apart(
        tmp_path,
        f"{INSTALL} --users\ngetent passwd {' '.join(USERS)}\nid -nG netevd-net\n"
        f"{INSTALL} --users\n{INSTALL} --remove\necho after\n"
        "getent passwd | grep netevd || true\ngetent group | grep netevd || true\nls /opt\n",
    )

    assert result.returncode == 0, result.stderr
    before, after = result.stdout.split("after\n")
    *passwd, groups = before.splitlines()
    assert {line.split(":")[0] for line in passwd} == USERS
    assert {line.split(":")[6] for line in passwd} == {"/usr/sbin/nologin"}
    assert set(groups.split()) == {"netevd", "netevd-net"}
    assert after == ""
    assert result.stderr.count("made user ") == len(USERS)
    assert result.stderr.count("removed user ") == len(USERS)


def test_users_that_were_there_before_stay(tmp_path: Path) -> None:
    """Uninstalling takes away what it made, not what it found."""
    result = run_apart(
        tmp_path,
        "groupadd --system netevd-script\nuseradd --system --gid netevd-script netevd-script\n"
        f"{INSTALL} --users\n{INSTALL} --remove\ngetent passwd | grep netevd | cut -d: -f1\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout == "netevd-script\n"


def test_user_in_use_is_named_and_can_be_removed_later(tmp_path: Path) -> None:
    """A user that still has a process stays, the exit code says so, and the next try succeeds."""
    result = run_apart(
        tmp_path,
        f"{INSTALL} --users\nsetpriv --reuid=netevd-script --clear-groups sleep 1000 &\n"
        'until [ "$(stat -c %U /proc/$!)" = netevd-script ]; do sleep 0.01; done\n'
        f"! {INSTALL} --remove\ngetent passwd | grep netevd | cut -d: -f1\n"
        f"kill $!\nwait $! || true\n{INSTALL} --remove\nls /opt\n",
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    assert result.stdout == "netevd-script\n"
    assert "kept user netevd-script: " in result.stderr
    assert "removed user netevd-script" in result.stderr


SERVICE = """/usr/bin/python3 -B - <<'END'
import importlib.machinery, importlib.util, sys
sys.path.insert(0, "packaging")
loader = importlib.machinery.SourceFileLoader("install", "packaging/install")
install = importlib.util.module_from_spec(importlib.util.spec_from_loader("install", loader))
loader.exec_module(install)
install.PREFIX.mkdir(exist_ok=True)
made = install.read_manifest()
install.place_service(made)
install.write_manifest(made)
END
"""
COMMAND = SERVICE.replace("place_service", "place_command")
LOCAL = """mkdir /opt/netevd
ln -s {0}/env /opt/netevd/env
cp -a /usr/local/bin {0}/bin
mkdir -p {0}/man
mount --bind {0}/bin /usr/local/bin
mount --bind {0}/man /usr/local/share/man
"""


def test_command_and_manual_are_found_until_uninstalled(tmp_path: Path) -> None:
    """As root `netevd` and `man netevd` work without a path; what was there before stays."""
    result = run_apart(
        tmp_path,
        f"{LOCAL.format(tmp_path)}rm -f /usr/local/bin/netevd\n{COMMAND}{COMMAND}"
        "readlink /usr/local/bin/netevd\n"
        "readlink -f $(man --where 1 netevd) $(man --where 8 netevd)\n"
        f"{INSTALL} --remove\nfind /usr/local/share/man /usr/local/bin -name 'netevd*'\n"
        f"echo mine >/usr/local/bin/netevd\n{COMMAND}{INSTALL} --remove\n"
        "cat /usr/local/bin/netevd\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "/opt/netevd/env/bin/netevd",
        "/usr/local/share/man/man1/netevd.1",
        "/usr/local/share/man/man8/netevd.8",
        "mine",
    ]
    assert (
        "kept /usr/local/bin/netevd as it is; ours is /opt/netevd/env/bin/netevd" in result.stderr
    )


UNIT = "/etc/systemd/system/netevd.service"


def test_unit_is_renewed_unless_it_was_changed(tmp_path: Path) -> None:
    """A unit of an earlier version gives way, one that the administrator has changed stays, also when uninstalling."""
    result = run_apart(
        tmp_path,
        f"{SERVICE}cmp packaging/systemd/netevd.service {UNIT}\n"
        f"echo '# old' >> {UNIT}\nsum=$(sha256sum {UNIT} | cut -d' ' -f1)\n"
        f'sed -i "s|^file {UNIT} .*|file {UNIT} $sum|" /opt/netevd/manifest\n'
        f"{SERVICE}cmp packaging/systemd/netevd.service {UNIT}\n"
        f"echo '# mine' >> {UNIT}\n{SERVICE}tail -n 1 {UNIT}\n"
        f"{INSTALL} --remove\nls {UNIT} /etc/tmpfiles.d/netevd.conf || true\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["# mine", UNIT]
    assert f"kept {UNIT} as it is" in result.stderr
    assert f"kept file {UNIT}: it was changed" in result.stderr


def test_right_for_the_worker_is_there_to_be_copied_and_not_given(tmp_path: Path) -> None:
    """polkit's rule comes with the unit, where the page on backends says; no directory of polkit's gets it."""
    page = (PACKAGING.parent / "docs/backends.md").read_text(encoding="utf-8")
    (command,) = (
        line for line in page.splitlines() if "install -m 644" in line and "polkit" in line
    )
    result = run_apart(
        tmp_path,
        f"mkdir -p /etc/polkit-1/rules.d\n{SERVICE}find /etc /usr/share/polkit-1 -name '*netevd*.rules' || true\n"
        f"echo then\n{command.strip().removeprefix('sudo ')}\n"
        "cmp packaging/polkit/50-netevd.rules /etc/polkit-1/rules.d/50-netevd.rules\n"
        f"stat -c %a /etc/polkit-1/rules.d/50-netevd.rules\n{INSTALL} --remove\nls /opt /opt/netevd || true\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:3] == ["then", "644", "/opt:"]
    assert "removed file /opt/netevd/50-netevd.rules" in result.stderr


def test_users_are_the_same_whoever_makes_them(tmp_path: Path) -> None:
    """The command that the daemon names when they are missing, and packaging/install, by sysusers.d where there is one."""
    ask = "for u in netevd netevd-net netevd-script; do id -nG $u; getent passwd $u | cut -d: -f6-; done\n"
    for number, command in enumerate((MAKE_USERS, f"{INSTALL} --users")):
        (tmp_path / str(number)).mkdir()
        result = run_apart(tmp_path / str(number), f"{command}\n{ask}")
        assert result.returncode == 0, result.stderr
        groups, places = result.stdout.splitlines()[::2], result.stdout.splitlines()[1::2]
        assert [set(each.split()) for each in groups] == [
            {"netevd"}, {"netevd-net", "netevd"}, {"netevd-script"}
        ]  # fmt: skip
        assert set(places) == {"/:/usr/sbin/nologin"}


def test_profiles_of_apparmor_are_placed_when_asked_and_taken_away(tmp_path: Path) -> None:
    """What is compiled from where they are installed is what is shipped; a site's own additions stay."""
    result = run_apart(
        tmp_path,
        f"{INSTALL} --apparmor\nfor f in netevd tunables/netevd abstractions/netevd/role; do"
        " cmp apparmor/$f /etc/apparmor.d/$f; done\n"
        "apparmor_parser --skip-kernel-load --skip-cache --names /etc/apparmor.d/netevd | head -1\n"
        "mkdir -p /etc/apparmor.d/local && echo '# mine' >/etc/apparmor.d/local/netevd\n"
        f"{INSTALL} --remove\nfind /etc/apparmor.d -name '*netevd*'\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["netevd", "/etc/apparmor.d/local/netevd"]


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where no environment can be made, one says which path and what to do, without a traceback."""
    (tmp_path / "file").write_text("")

    result = subprocess.run(
        [sys.executable, str(PACKAGING / "environment"), str(tmp_path / "file/run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert result.returncode == 1
    assert f"{tmp_path}/file/run" in result.stderr
    assert "use a clone of your own" in result.stderr
    assert "Traceback" not in result.stderr


def test_uninstalling_where_nothing_is_installed_says_so(tmp_path: Path) -> None:
    """Without a manifest nothing is touched."""
    result = run_apart(tmp_path, f"{INSTALL} --remove\n")

    assert result.returncode == 0
    assert "nothing to remove" in result.stderr


def test_failed_first_install_leaves_nothing_after_uninstalling(tmp_path: Path) -> None:
    """Where /opt/netevd was there before, the lock of an environment that was never made goes too."""
    result = run_apart(
        tmp_path,
        "mkdir /opt/netevd\necho 'environment /opt/netevd/env -' >/opt/netevd/manifest\n"
        f"touch /opt/netevd/env.lock /opt/netevd/mine\n{INSTALL} --remove\nls /opt/netevd\n",
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout == "mine\n"
