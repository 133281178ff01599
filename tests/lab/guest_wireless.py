"""Runs in the guest: simulated radios, two access points of one network, and a station that roams between them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.boundary.rig import wait_for
from tests.processes.rig import Daemon
from tests.processes.test_api import ask

CONFIGURATION: Final = "system: {log_format: json, log_level: trace}\nnetwork: {links: [wlan*]}\n"
NAME: Final = "Café ~5"
ENCODED: Final = "Caf%C3%A9%20%7E5"
ACCESS_POINT: Final = """interface={link}
driver=nl80211
ssid={name}
utf8_ssid=1
hw_mode=g
channel=1
"""
PROTECTED: Final = """wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase=secret-of-lab
"""
STATION: Final = f"""ctrl_interface=/run/wpa
network={{
 ssid="{NAME}"
 psk="secret-of-lab"
}}
"""
RECORD: Final = """#!/bin/sh
echo "$NETEVD_EVENT|$LINK|$BACKEND|${NETEVD_SSID-none}|${NETEVD_BSSID-none}" >> %s/data/said
"""
SECONDS: Final = 60


def run(*words: str, check: bool = True) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=check).stdout


def load(radios: int = 3) -> None:
    """Have radios: their links are wlan0, wlan1 and so on."""
    run("modprobe", "mac80211_hwsim", f"radios={radios}")
    wait_for(lambda: Path(f"/sys/class/net/wlan{radios - 1}").exists() or None, "the radios", 30)


def unload() -> None:
    for word in ("hostapd", "wpa_supplicant"):
        for each in Path("/run/lab-wireless").glob(f"{word}*.pid"):
            run("kill", each.read_text().strip(), check=False)
            each.unlink()
    run("modprobe", "-r", "mac80211_hwsim", check=False)


def serve(link: str, name: str = NAME, more: str = PROTECTED) -> str:
    """Have an access point on a link; return its address."""
    place = Path("/run/lab-wireless")
    place.mkdir(exist_ok=True)
    (place / f"{link}.conf").write_text(ACCESS_POINT.format(link=link, name=name) + more)
    run("hostapd", "-B", "-P", f"{place}/hostapd-{link}.pid", f"{place}/{link}.conf")
    wait_for(lambda: "type AP" in run("iw", "dev", link, "info") or None, "the access point", 30)
    return Path(f"/sys/class/net/{link}/address").read_text().strip()


def begin_station() -> None:
    """Have wpa_supplicant look after wlan0."""
    place = Path("/run/lab-wireless")
    (place / "station.conf").write_text(STATION)
    run("ip", "link", "set", "wlan0", "up")
    run("wpa_supplicant", "-B", "-i", "wlan0", "-D", "nl80211", "-c", f"{place}/station.conf",
        "-P", f"{place}/wpa_supplicant.pid")  # fmt: skip
    wait_for(lambda: "wpa_state=COMPLETED" in wpa("status") or None, "the connection", SECONDS)


def wpa(*words: str) -> str:
    return run("wpa_cli", "-p", "/run/wpa", "-i", "wlan0", *words, check=False)


def find_access_point() -> str:
    """Return the access point that iw(8) names, "" for none."""
    words = run("iw", "dev", "wlan0", "link").split()
    return words[2] if words[:2] == ["Connected", "to"] else ""


def roam(to: str) -> None:
    """Have wpa_supplicant hand the station over, once it has seen the other access point."""

    def sees() -> bool:
        wpa("scan")
        time.sleep(1)  # a scan under way is not begun anew
        return to in wpa("scan_results")

    wait_for(lambda: sees() or None, "the other access point", SECONDS)
    wpa("roam", to)
    wait_for(lambda: find_access_point() == to or None, "the other access point", SECONDS)


@pytest.fixture
def make_daemon() -> Iterator[Callable[[], Daemon]]:
    """Return a function that makes a daemon in the guest's own network, with a script for each event of networks."""
    made: list[Daemon] = []

    def make() -> Daemon:
        daemon = Daemon(CONFIGURATION)
        made.append(daemon)
        for event in ("ssid-changed", "roamed", "no-carrier"):
            daemon.script(event, RECORD % daemon.scripts)
        return daemon

    try:
        yield make
    finally:
        for daemon in made:
            daemon.close()
        unload()


def read_said(daemon: Daemon) -> list[str]:
    said = daemon.scripts / "data" / "said"
    return said.read_text().splitlines() if said.exists() else []


def await_said(daemon: Daemon, wanted: str) -> None:
    try:
        wait_for(lambda: wanted in read_said(daemon) or None, wanted, SECONDS)
    except AssertionError as error:
        raise AssertionError(
            f"{error}\n{read_said(daemon)}\n{''.join(daemon.raw)[-6000:]}"
        ) from None


def test_a_station_connects_roams_and_leaves(make_daemon: Callable[[], Daemon]) -> None:
    """With nl80211 only loaded while netevd runs: name and access point reach scripts, as they change, once each."""
    assert not Path("/sys/module/cfg80211").exists()
    daemon = make_daemon()
    daemon.start()
    daemon.expect_serving(1)

    load()
    points = [serve("wlan1"), serve("wlan2")]
    begin_station()
    first = find_access_point()
    await_said(daemon, f"ssid-changed|wlan0|kernel|{ENCODED}|{first}")
    shown = ask(daemon, "show", "interface", "wlan0")
    assert (shown["ssid"], shown["bssid"]) == (NAME, first)

    (second,) = {*points} - {first}
    roam(second)
    await_said(daemon, f"roamed|wlan0|kernel|{ENCODED}|{second}")
    roam(first)
    await_said(daemon, f"roamed|wlan0|kernel|{ENCODED}|{first}")
    assert len([each for each in read_said(daemon) if each.startswith("ssid-changed")]) == 1

    wpa("disconnect")
    await_said(daemon, "ssid-changed|wlan0|kernel|none|none")
    wpa("reconnect")
    wait_for(lambda: len([each for each in read_said(daemon) if each.startswith(f"ssid-changed|wlan0|kernel|{ENCODED}|")])
             == 2 or None, "the network again", SECONDS)  # fmt: skip
    assert not [
        each
        for each in read_said(daemon)
        if "|wlan1|" in each and not each.startswith("no-carrier")
    ]
    assert "secret-of-lab" not in "".join(daemon.raw)
