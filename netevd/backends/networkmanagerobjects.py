"""
NetworkManager's objects on the bus: what a device leads to, and what is asked of each.

Belongs here: calls, and what an object that is gone meanwhile comes to. What a signal means, and when
is asked, is `networkmanager`'s; how answers are read is `device`'s.
Source: org.freedesktop.NetworkManager(5) and the pages it leads to.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from netevd.backends.bus import Peer
from netevd.backends.connection import CallFailed
from netevd.backends.profile import Device, Profile, Vpn, is_in_use
from netevd.backends.properties import Properties

NAME: Final = "org.freedesktop.NetworkManager"
PATH: Final = "/org/freedesktop/NetworkManager"
DEVICE: Final = f"{NAME}.Device"
WIRELESS: Final = f"{NAME}.Device.Wireless"
_POINT: Final = f"{NAME}.AccessPoint"
ACTIVE: Final = f"{NAME}.Connection.Active"
SAVED: Final = f"{NAME}.Settings.Connection"
CONFIGURATIONS: Final = {
    "Ip4Config": f"{NAME}.IP4Config",
    "Ip6Config": f"{NAME}.IP6Config",
    "Dhcp4Config": f"{NAME}.DHCP4Config",
    "Dhcp6Config": f"{NAME}.DHCP6Config",
}
"""Properties that lead to what a device or a VPN is configured with, and the interface of each."""
_WIFI: Final = 2
"""NMDeviceType of a wireless link."""

_LOOKS: Final = 500
_LOOK_S: Final = 0.02
"""How often NetworkManager is asked once it is on the bus until it can be, and seconds from one time to the next."""

_GONE: Final = ("UnknownObject", "UnknownMethod", "UnknownInterface")
"""Errors of what is not there any more."""


async def await_manager(peer: Peer) -> Properties:
    """Return the properties of the whole; it is on the bus a moment before it can be asked for them."""
    for _ in range(_LOOKS):
        found = await _ask_properties(peer, PATH, NAME)
        if found:
            return found
        await trio.sleep(_LOOK_S)
    return await peer.get_properties(PATH, NAME)


async def ask_device(peer: Peer, path: str, vpns: list[Vpn]) -> Device | None:
    """Return a device with all that it leads to, None if it is gone. vpns: as `find_vpns` has found them."""
    properties = await _ask_properties(peer, path, DEVICE)
    if not properties:
        return None
    active = str(properties.get("ActiveConnection", "/"))
    ssid = await _ask_ssid(peer, path, properties)
    profile = await _ask_profile(peer, active, properties)
    return Device(properties, profile, ssid, _find_vpn(path, properties, vpns))


def _find_vpn(path: str, properties: Properties, vpns: list[Vpn]) -> Vpn | None:
    """
    Return the VPN whose addresses a device has: both lead to the same objects then.

    One without a link of its own has them on the device that it runs over.
    """
    own = list_configurations(properties)
    found = [each for each in vpns if own & list_configurations(each.profile.active)]
    return next((each for each in found if each.over_path != path), next(iter(found), None))


def list_configurations(owner: Properties) -> set[str]:
    """Return the IP configurations of a device, or of a connection."""
    return {str(owner.get(name, "/")) for name in ("Ip4Config", "Ip6Config")} - {"/"}


def list_uses(device: Device) -> list[str]:
    """Return the objects whose signals tell of a device: its connection, what it is configured with, its VPN."""
    saved = str(device.profile.active.get("Connection", "/"))
    names = ("ActiveConnection", *CONFIGURATIONS)
    paths = [saved, *(str(device.properties.get(name, "/")) for name in names)]
    vpn = device.vpn
    if vpn is not None:
        paths += [vpn.path, str(vpn.profile.active.get("Connection", "/"))]
        paths += [vpn.over_path, *list_uses(vpn.over)] if device.is_vpn else []
    return [each for each in dict.fromkeys(paths) if each != "/"]


async def find_vpns(peer: Peer, manager: Properties, others: set[str]) -> list[Vpn]:
    """
    Return the VPNs that have a configuration.

    others: active connections that are no VPNs, which none becomes: they are asked once. Kept here.
    """
    paths = list_paths(manager, "ActiveConnections")
    others.intersection_update(paths)
    found: list[Vpn] = []
    for path in paths:
        if path in others:
            continue
        active = await _ask_properties(peer, path, ACTIVE)
        if active.get("Vpn") is False:
            others.add(path)
        elif active.get("Vpn") is True and is_in_use(active) and list_configurations(active):
            profile = await _ask_profile(peer, path, active)
            for each in list_paths(active, "Devices")[:1]:
                over = await ask_device(peer, each, [])
                if over is not None:
                    found.append(Vpn(path, profile, over, each))
    return found


async def _ask_profile(peer: Peer, active: str, owner: Properties) -> Profile:
    """Return a connection that is in use. owner: has the paths of what it has configured."""
    connection = await _ask_properties(peer, active, ACTIVE)
    saved = str(connection.get("Connection", "/"))
    configured = [
        await _ask_properties(peer, str(owner.get(name, "/")), interface)
        for name, interface in CONFIGURATIONS.items()
    ]
    return Profile(
        connection, await _ask_settings(peer, saved), await _ask_properties(peer, saved, SAVED),
        *configured,
    )  # fmt: skip


async def _ask_settings(peer: Peer, path: str) -> Properties:
    """Return the settings of a connection, none if it is gone or not for our eyes."""
    if path == "/":
        return {}
    try:
        (settings,) = await peer.call(path, f"{SAVED}.GetSettings", answer="a{sa{sv}}")
    except CallFailed as error:
        if error.name.rpartition(".")[2] in (*_GONE, "PermissionDenied", "AccessDenied"):
            return {}
        raise
    return dict(settings)


async def _ask_ssid(peer: Peer, path: str, properties: Properties) -> bytes:
    if properties.get("DeviceType") != _WIFI:
        return b""
    wireless = await _ask_properties(peer, path, WIRELESS)
    point = await _ask_properties(peer, str(wireless.get("ActiveAccessPoint", "/")), _POINT)
    ssid = point.get("Ssid")
    return ssid if isinstance(ssid, bytes) else b""


async def _ask_properties(peer: Peer, path: str, interface: str) -> Properties:
    """Return all properties of an object, none if it is gone. Raises: CallFailed, BusGone."""
    if path in {"/", ""}:
        return {}
    try:
        return await peer.get_properties(path, interface)
    except CallFailed as error:
        if error.name.rpartition(".")[2] in _GONE:
            return {}
        raise


def list_paths(values: Properties, name: str) -> list[str]:
    """Return the paths that a property holds, none where it is missing."""
    found: Any = values.get(name, [])
    return [str(each) for each in found] if isinstance(found, list) else []
