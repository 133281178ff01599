"""The text of a manifest: one for one meaning."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privsep import manifest
from privsep.manifest import Line, Manifest, decode, encode

DIGEST = "0123456789abcdef" * 4
TEXT = (
    f"netevd-scripts 1\nroot /etc/netevd\nversion 7\n{DIGEST}  netevd-script  carrier.d/10 a\n{DIGEST}  root  routable.d/b\n"
).encode()

paths = st.text(
    st.characters(codec="utf-8", exclude_characters="".join(map(chr, [*range(32), 127]))),
    min_size=1,
)
lines = st.builds(
    Line,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.sampled_from(["root", "netevd-script", "a$"]),
)
manifests = st.builds(
    Manifest,
    paths.map("/".__add__),
    st.integers(1, 10**18 - 1),
    st.dictionaries(paths, lines, max_size=5),
)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_manifest_is_what_stands_in_its_text() -> None:
    """Root, version and a line for each script, blanks in names included."""
    assert decode(TEXT) == Manifest(
        "/etc/netevd", 7,
        {"carrier.d/10 a": Line(DIGEST, "netevd-script"), "routable.d/b": Line(DIGEST, "root")},
    )  # fmt: skip


@unhurried
@given(manifests)
def test_what_is_written_is_read_again(written: Manifest) -> None:
    """Every manifest survives its text."""
    assert decode(encode(written)) == written


@unhurried
@given(st.binary(max_size=200) | st.integers(0, len(TEXT)).flatmap(
    lambda place: st.binary(max_size=3).map(lambda new: TEXT[:place] + new + TEXT[place + 1 :])))  # fmt: skip
def test_no_two_texts_mean_the_same(text: bytes) -> None:
    """Whatever is read is written as it was: nothing in a text is passed over."""
    try:
        found = decode(text)
    except ValueError:
        return
    assert encode(found) == text


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n", TEXT[:-1], TEXT + b"\n", TEXT + b"# comment\n", TEXT.replace(b"\n", b"\r\n"),
        TEXT.replace(b"version 7", b"version 0"), TEXT.replace(b"version 7", b"version 07"),
        TEXT.replace(b"version 7", b"version 1000000000000000000"), TEXT.replace(b"scripts 1", b"scripts 2"),
        TEXT.replace(b"root /etc", b"root etc"), TEXT.replace(b"carrier.d", b"z.d"),
        TEXT.replace(b"routable.d/b", b"carrier.d/10 a"), TEXT.replace(b"  root  ", b"  Root!  "),
        TEXT.replace(b"0123", b"0A23"), TEXT.replace(b"  root", b" root"), TEXT.replace(b"/b", b"/b\x00"),
        TEXT.replace(b"/b", b"/\xe2\x80\xa8\n"),
    ],
)  # fmt: skip
def test_what_is_not_in_order_is_refused(text: bytes) -> None:
    """Other versions of the form, line ends, comments, order, doubles, numbers with zeros in front."""
    with pytest.raises(ValueError, match="it does not begin with|its lines"):
        decode(text)


def test_names_of_no_encoding_survive() -> None:
    """A file name may hold octets that are no UTF-8."""
    text = TEXT.replace(b"/b", b"/\xff")

    assert "routable.d/\udcff" in decode(text).scripts
    assert encode(decode(text)) == text
    assert manifest.SIGNATURES[0] != manifest.SIGNATURES[1]
