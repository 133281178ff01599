"""`netevd sign` on real files, with real keys."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from privsep.manifest import NAME, decode, encode
from tests.boundary.signing import OpenPgpSigner, Signer, put
from tests.unit.cli.rig import Place, netevd, place

__all__ = ["place"]
SAY = "#!/bin/sh\necho one\n"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Return a key that may sign."""
    return Signer(tmp_path)


def _user() -> str:
    """Return the user that scripts run as, whoever runs the tests."""
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip() if os.geteuid() else "netevd-script"  # fmt: skip


def _init(place: Place, signer: Signer, *options: str) -> str:
    """Make the manifest and have the configuration want it; return what was printed for it."""
    config = place.configure()
    made = netevd(
        "sign", "init", "--key", str(signer.path), "--config", config, "--user", _user(), *options
    )
    assert made.returncode == 0, made.stderr
    with open(config, "a") as file:
        file.write(made.stdout)
    return made.stdout


def _read(place: Place) -> dict[str, str]:
    """Return the users of the scripts in the manifest."""
    found = decode((place.scripts / NAME).read_bytes())
    return {name: line.user for name, line in found.scripts.items()}


def _verify(place: Place) -> tuple[int, dict[str, str | None]]:
    told = netevd("-j", "sign", "verify", "--config", str(place.config))
    return told.returncode, {
        each["name"]: each["reason"] for each in json.loads(told.stdout)["hooks"]
    }


def test_from_nothing_to_signed_scripts(place: Place, signer: Signer) -> None:
    """`init` prints what belongs into the configuration; `verify` is content; `add` signs what has changed."""
    place.script(SAY, "10-say")
    place.script(SAY, "20-more", event="carrier")
    (place.scripts / "routable.d" / "30-notes").write_text("no script")
    printed = _init(place, signer)

    assert signer.fingerprint in printed and 'name: "ops"' in printed
    assert _read(place) == {"routable.d/10-say": _user(), "carrier.d/20-more": _user()}
    code, found = _verify(place)
    assert found["10-say"] is found["20-more"] is None and "not executable" in (
        found["30-notes"] or ""
    )
    assert code == 1
    (place.scripts / "routable.d" / "30-notes").unlink()
    assert _verify(place)[0] == 0

    changed, new = place.script("#!/bin/sh\n", "10-say"), place.script(SAY, "40-new")
    assert _verify(place)[0] == 1
    added = netevd("-j", "sign", "add", str(changed), str(new), "--key", str(signer.path),
                   "--config", str(place.config), "--user", _user())  # fmt: skip
    shape = json.loads(added.stdout)
    assert (shape["version"], [each["path"] for each in shape["signed"]]) == (
        2,
        ["routable.d/10-say", "routable.d/40-new"],
    )
    assert _verify(place)[0] == 0
    new.unlink()
    dropped = netevd(
        "sign", "add", str(changed), "--key", str(signer.path), "--config", str(place.config)
    )
    assert (
        dropped.stdout == "dropped  routable.d/40-new\n"
        and "version 3, 2 scripts" in dropped.stderr
    )


def test_users_are_those_of_the_rules(place: Place, signer: Signer) -> None:
    """What a rule says counts for its script, scripts.user for the others; --user for all."""
    place.script(SAY, "10-say")
    path = place.script(SAY, "20-root")
    config = place.configure(rules=f"[{{path: {path}, user: root}}]", user="netevd-script")

    netevd("sign", "init", "--key", str(signer.path), "--config", config)
    assert _read(place) == {"routable.d/10-say": "netevd-script", "routable.d/20-root": "root"}
    again = netevd(
        "sign",
        "init",
        "--replace",
        "--user",
        "nobody",
        "--key",
        str(signer.path),
        "--config",
        config,
    )
    assert again.returncode == 0
    assert set(_read(place).values()) == {"nobody"}
    assert decode((place.scripts / NAME).read_bytes()).version == 2


def test_directory_is_signed_for_where_it_will_stand(place: Place, signer: Signer) -> None:
    """With --root a clone is signed for another place; rules are looked up by that."""
    place.script(SAY, "10-say")
    place.config.write_text(
        "scripts: {rules: [{path: /etc/netevd/routable.d/10-say, user: root}]}\n"
    )

    made = netevd("sign", "init", str(place.scripts), "--root", "/etc/netevd", "--key", str(signer.path),
                  "--config", str(place.config))  # fmt: skip
    assert made.returncode == 0, made.stderr
    found = decode((place.scripts / NAME).read_bytes())
    assert (found.root, found.scripts["routable.d/10-say"].user) == ("/etc/netevd", "root")
    added = netevd("sign", "add", str(place.scripts / "routable.d/10-say"), "--key", str(signer.path),
                   "--config", str(place.config))  # fmt: skip
    assert (
        added.returncode == 0 and decode((place.scripts / NAME).read_bytes()).root == "/etc/netevd"
    )


def test_what_somebody_else_wrote_is_not_signed_anew(
    place: Place, signer: Signer, tmp_path: Path
) -> None:
    """`add` refuses a manifest that was altered, or signed by a stranger: it would make it good."""
    script = place.script(SAY, "10-say")
    _init(place, signer)
    words = ("sign", "add", str(script), "--key", str(signer.path), "--config", str(place.config))
    found = decode((place.scripts / NAME).read_bytes())
    altered = encode(
        found._replace(scripts={**found.scripts, "carrier.d/x": found.scripts["routable.d/10-say"]})
    )
    (place.scripts / NAME).write_bytes(altered)
    refused = netevd(*words)
    assert refused.returncode == 1 and "ssh-keygen says" in refused.stderr

    stranger = Signer(tmp_path, "stranger")
    put(place.scripts, altered, stranger.sign(altered))
    refused = netevd(*words)
    assert refused.returncode == 1 and f"is signed by {stranger.fingerprint}" in refused.stderr
    assert "netevd sign init --replace" in refused.stderr


@pytest.mark.parametrize(
    ("kind", "bits", "expected"), [("rsa", 2048, "3072 or more"), ("", 0, "is not a public key file"), ("missing", 0, "No such file")]
)  # fmt: skip
def test_key_that_no_daemon_would_believe_is_refused(
    place: Place, tmp_path: Path, kind: str, bits: int, expected: str
) -> None:
    """Before anything is written, with the reason."""
    place.script(SAY, "10-say")
    path = tmp_path / "key"
    if kind == "rsa":
        path = Signer(tmp_path, "weak", kind, bits).path
    elif not kind:
        path.write_text("no key")
    refused = netevd("sign", "init", "--key", str(path), "--config", place.configure())

    assert refused.returncode == 1 and expected in refused.stderr
    assert not (place.scripts / NAME).exists()


def test_mistakes_on_the_command_line_are_told(
    place: Place, signer: Signer, tmp_path: Path
) -> None:
    """A manifest that is there, scripts in two places or in none, a directory that is not there."""
    script = place.script(SAY, "10-say")
    key = ("--key", str(signer.path), "--config", place.configure())
    without = netevd("sign", "add", str(script), *key)
    assert (
        without.returncode == 1
        and "has no manifest; make it with: netevd sign init" in without.stderr
    )
    _init(place, signer)
    assert "add scripts to it with" in netevd("sign", "init", *key).stderr
    assert netevd("sign", "add", str(tmp_path / "x"), *key).returncode == 4
    assert netevd("sign", "init", str(tmp_path / "nowhere"), *key).returncode == 1
    gone = netevd("sign", "add", str(script.with_name("gone")), *key)
    assert gone.returncode == 1 and "No such file" in gone.stderr


@pytest.fixture
def certificate(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPgpSigner]:
    """Return a key of OpenPGP that gpg finds by itself, and so does netevd."""
    made = OpenPgpSigner()
    monkeypatch.setenv("GNUPGHOME", str(made.home))
    yield made
    made.close()


def test_a_key_of_openpgp_signs_too(place: Place, certificate: OpenPgpSigner) -> None:
    """Named by its fingerprint, in any form of it: gpg signs, a runner believes it, `add` goes on from there."""
    script = place.script(SAY, "10-say")
    config = place.configure()
    words = " ".join(certificate.fingerprint[n : n + 4] for n in range(0, 40, 4)).lower()
    made = netevd("sign", "init", "--key", words, "--config", config, "--user", _user())
    assert made.returncode == 0, made.stderr
    assert f'fingerprint: "{certificate.fingerprint}", name: "ops--ops-example.org"' in made.stdout
    with open(config, "a") as file:
        file.write(made.stdout)
    assert _verify(place) == (0, {"10-say": None})

    script.write_text("#!/bin/sh\necho two\n")
    code, found = _verify(place)
    assert code == 1 and "it was altered since it was signed" in (found["10-say"] or "")
    key = ("--key", certificate.fingerprint, "--config", config)
    assert netevd("sign", "add", str(script), *key).returncode == 0
    assert _verify(place) == (0, {"10-say": None})
    assert decode((place.scripts / NAME).read_bytes()).version == 2


def test_a_manifest_goes_from_one_kind_of_key_to_the_other(
    place: Place, signer: Signer, certificate: OpenPgpSigner
) -> None:
    """Whoever is allowed has signed it before; a key that gpg has not is told with gpg's own words."""
    script = place.script(SAY, "10-say")
    _init(place, signer)
    config = str(place.config)
    added = netevd("sign", "add", str(script), "--key", certificate.fingerprint, "--config", config)
    assert added.returncode == 0, added.stderr
    refused = netevd("sign", "add", str(script), "--key", str(signer.path), "--config", config)
    assert f"is signed by {certificate.fingerprint}, neither" in refused.stderr
    unknown = netevd("sign", "add", str(script), "--key", "0x" + "AB" * 20, "--config", config)
    assert unknown.returncode == 1 and "gpg says" in unknown.stderr
