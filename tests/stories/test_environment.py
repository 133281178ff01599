"""The variables of a script."""

import json

from attrs import evolve

from netevd.core.environment import LIMIT
from netevd.model.actions import EndRun, Note, StartRun
from netevd.model.inputs import (
    DumpEnded,
    HelperConnected,
    HooksListed,
    LinkSeen,
    RunnerConnected,
)
from privsep.variables import find_bad_value
from tests.stories.configurations import configure
from tests.stories.playbook import NOTHING, Play, finished, gone, has, hooks, link, lost, seen

A = "/etc/netevd/no-carrier.d/a"


def test_all_variables_of_a_link_event(play: Play) -> None:
    """A script gets exactly these variables, and JSON in the schema of the API."""
    story = play().begin(
        seen("br0", 5, kind="bridge", dump=1),
        seen("eth0", 2, master=5, dump=1),
        has("192.0.2.1/24", 2, dump=1),
        has("fe80::1/64", 2, dump=1),
        has("169.254.7.7/16", 2, scope=253, dump=1),
        has("2001:db8::1/64", 2, dump=1),
    )
    story.with_scripts(A)
    story.fill(0.001, seen("eth0", 2, master=5, carrier=False))

    values = story.get_values()
    shape = json.loads(values.pop("JSON"))

    assert values == {
        "LINK": "eth0",
        "LINKINDEX": "2",
        "STATE": "no-carrier",
        "BACKEND": "kernel",
        "EVENT": "no-carrier",
        "ADDRESSES": "192.0.2.1 2001:db8::1",
        "NETEVD_SEQUENCE": "4",
        "NETEVD_EVENT": "no-carrier",
        "NETEVD_TIME": "2023-11-14T22:13:20.124Z",
        "NETEVD_PREVIOUS_STATE": "routable",
    }
    assert shape["event"] == {
        "sequence": 4,
        "type": "no-carrier",
        "time": "2023-11-14T22:13:20.124Z",
        "interface": "eth0",
        "index": 2,
        "backend": "kernel",
        "initial": False,
        "state": "no-carrier",
        "previous_state": "routable",
        "family": None,
        "address": None,
        "route": None,
        "change": None,
        "wireguard": None,
        "routing": None,
        "lease": None,
        "reason": None,
        "host": None,
        "coalesced": None,
    }
    assert shape["before"]["state"] == "routable"
    assert shape["interface"]["addresses"][0] == {
        "ip": "192.0.2.1",
        "prefix": 24,
        "family": "ipv4",
        "scope": "global",
        "state": "usable",
        "peer": None,
    }
    del shape["interface"]["addresses"]
    assert shape["interface"] == {
        "name": "eth0",
        "index": 2,
        "state": "no-carrier",
        "kind": "veth",
        "mac_address": "02:00:00:00:00:01",
        "permanent_mac_address": None,
        "mtu": 1500,
        "flags": ["UP"],
        "operstate": "lowerlayerdown",
        "carrier": False,
        "master": "br0",
        "altnames": [],
        "gateways": [],
        "backend": "kernel",
        "setup_state": None,
        "device_state": None,
        "connection": None,
        "ssid": None,
        "bssid": None,
        "leases": [],
        "dns": [],
        "domains": [],
        "ntp": [],
        "statistics": None,
    }


def test_variables_of_an_address_event(play: Play) -> None:
    """An address event names its address and family."""
    story = play().begin(seen("eth0", 2, dump=1), has("2001:db8::1/64", 2, dump=1))
    story.with_scripts("/etc/netevd/address-removed.d/a")

    story.fill(lost("2001:db8::1/64", 2))

    values = story.get_values()
    assert values["NETEVD_ADDRESS"] == "2001:db8::1"
    assert values["NETEVD_FAMILY"] == "ipv6"
    assert values["ADDRESSES"] == ""
    assert json.loads(values["JSON"])["event"]["address"]["ip"] == "2001:db8::1"


def test_what_is_not_known_is_absent(play: Play) -> None:
    """A new link has no state before, no address, and is not initial."""
    story = play().begin().with_scripts("/etc/netevd/link-added.d/a")

    story.fill(seen("eth0", 2))

    absent = {"NETEVD_PREVIOUS_STATE", "NETEVD_INITIAL", "NETEVD_ADDRESS", "NETEVD_FAMILY"}
    assert not absent & story.get_values().keys()
    assert json.loads(story.get_values()["JSON"])["before"] is None


def test_json_can_be_turned_off(play: Play) -> None:
    """Without network.emit_json there is no JSON and nothing else is missing."""
    story = play(configure(emit_json=False)).begin(seen("eth0", 2, dump=1)).with_scripts(A)

    story.fill(seen("eth0", 2, carrier=False))

    assert "JSON" not in story.get_values()
    assert story.get_values()["LINK"] == "eth0"


def test_a_script_sees_the_moment_of_its_event(play: Play) -> None:
    """What happens while a script waits is not mixed into its variables."""
    story = play().begin(seen("eth0", 2, dump=1), has("192.0.2.1/24", 2, dump=1))
    story.with_scripts(A, "/etc/netevd/carrier.d/a")
    story.fill(seen("eth0", 2, carrier=False), seen("eth0", 2), gone(2), seen("other", 2))

    story.fill(finished(1))

    assert story.get_values()["LINK"] == "eth0"
    assert story.get_values()["ADDRESSES"] == "192.0.2.1"


def test_too_much_for_an_environment(play: Play) -> None:
    """What exceeds the limit loses before, then addresses, then part of ADDRESSES, and says so."""
    story = play().begin(seen("eth0", 2, dump=1)).with_scripts(A)

    def flap(addresses: range) -> dict[str, str]:
        story.fill(*(has(f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n:x}/64", 2) for n in addresses))
        story.fill(seen("eth0", 2, carrier=False))
        (start,) = [each for each in story.actions if isinstance(each, StartRun)]
        values = dict(start.values)
        story.fill(finished(start.run), seen("eth0", 2))
        assert find_bad_value(list(values.items())) is None
        return values

    whole = json.loads(flap(range(0x1000, 0x1010))["JSON"])
    assert "truncated" not in whole
    assert len(whole["before"]["addresses"]) == 16

    without_before = json.loads(flap(range(0x1010, 0x1180))["JSON"])
    assert without_before["truncated"] is True
    assert "before" not in without_before
    assert len(without_before["interface"]["addresses"]) == 0x180

    without_addresses = flap(range(0x1180, 0x1400))
    shape = json.loads(without_addresses["JSON"])
    assert shape["truncated"] is True
    assert shape["interface"]["addresses"] == []
    assert len(without_addresses["ADDRESSES"].split()) == 0x400

    cut = flap(range(0x1400, 0x1B00))
    size = sum(len(name) + len(value) + 2 for name, value in cut.items())
    assert LIMIT - 64 < size <= LIMIT
    words = cut["ADDRESSES"].split(" ")
    assert words == [
        f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n:x}" for n in range(0x1000, 0x1000 + len(words))
    ]


def test_a_name_that_is_not_utf8(play: Play) -> None:
    """Such a link has events, but no script can be told its name: each run is refused."""
    story = play().begin().with_scripts("/etc/netevd/link-added.d/a")

    (
        story
        >> LinkSeen(link("nam\udcff", 2))
        << """
        1 nam\udcff link-added
        end 1: refused
        warn: Script /etc/netevd/link-added.d/a was not run: the interface name "nam\\xff" has \
bytes that are not UTF-8; rename the link or leave it out by network.links
        2 nam\udcff carrier
        """
    )
    (note,) = [each for each in story.actions if isinstance(each, Note)]
    assert note.fields["interface"] == "nam\\xff"


def test_a_name_with_a_line_separator(play: Play) -> None:
    """A name with characters that could forge a line is refused as well."""
    story = play().begin().with_scripts("/etc/netevd/link-added.d/a")

    story.fill(LinkSeen(link("a\u2028b", 2)))

    assert [each.result for each in story.actions if isinstance(each, EndRun)] == ["refused"]


def test_a_name_with_markup(play: Play) -> None:
    """A name that is merely ugly is handed on as it is."""
    story = play().begin().with_scripts("/etc/netevd/link-added.d/a")

    story.fill(LinkSeen(link("<b>$(id)\"'", 2)))

    values = story.get_values()
    assert values["LINK"] == "<b>$(id)\"'"
    assert json.loads(values["JSON"])["interface"]["name"] == "<b>$(id)\"'"
    assert find_bad_value(list(values.items())) is None


def test_the_name_of_a_master_that_is_not_utf8(play: Play) -> None:
    """A strange name beside the link's own is escaped in JSON and refuses nothing."""
    story = play().begin(LinkSeen(link("br\udcff", 5), 1)).with_scripts(A)
    story.fill(seen("eth0", 2, master=5))

    story.fill(LinkSeen(evolve(link("eth0", 2, master=5, carrier=False), altnames=("\udcfe",))))

    shape = json.loads(story.get_values()["JSON"])
    assert shape["interface"]["master"] == "br\\xff"
    assert shape["interface"]["altnames"] == ["\\xfe"]
    assert "name_is_escaped" not in shape["interface"]


def test_the_variables_are_the_protocols(play: Play) -> None:
    """The runner's check agrees with what is built, for an initial event too."""
    story = play()
    story.fill(RunnerConnected(), HooksListed(hooks("/etc/netevd/carrier.d/a")))
    story.fill(HelperConnected(), seen("eth0", 2, dump=1), DumpEnded(1, consistent=True))

    values = story.get_values()
    assert values["NETEVD_INITIAL"] == "1"
    assert find_bad_value(list(values.items())) is None
    story >> seen("eth0", 2) << NOTHING
