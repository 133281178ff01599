"""Wrong tokens by address."""

from __future__ import annotations

from netevd.http.guesses import LIMIT, PERIOD_S, TABLE_LIMIT, Guesses


def test_ten_at_once_and_then_one_in_six_seconds() -> None:
    """The limit is of the address, and is forgotten bit by bit."""
    guesses = Guesses()
    for _ in range(LIMIT):
        assert guesses.find_wait("192.0.2.1", 100.0) == 0
        guesses.note("192.0.2.1", 100.0)
    assert guesses.find_wait("192.0.2.1", 100.0) == PERIOD_S
    assert guesses.find_wait("192.0.2.2", 100.0) == 0
    assert guesses.find_wait("192.0.2.1", 100.0 + PERIOD_S) == 0


def test_an_ipv6_network_is_one_place() -> None:
    """Whoever has a /64 has 2^64 addresses to guess from."""
    guesses = Guesses()
    for number in range(LIMIT):
        guesses.note(f"2001:db8::{number:x}", 5.0)
    assert guesses.find_wait("2001:db8::ffff", 5.0) > 0
    assert guesses.find_wait("2001:db8:0:1::1", 5.0) == 0


def test_the_table_has_an_end() -> None:
    """Of many addresses those that guessed last are remembered."""
    guesses = Guesses()
    for number in range(TABLE_LIMIT + 300):
        for _ in range(LIMIT):
            guesses.note(f"10.0.{number // 256}.{number % 256}", 5.0)
    assert guesses.find_wait("10.0.0.0", 5.0) == 0
    assert guesses.find_wait(f"10.0.{(TABLE_LIMIT + 299) // 256}.{(TABLE_LIMIT + 299) % 256}", 5.0)
