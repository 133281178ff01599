"""Words on the command line, and the advice when they are mistyped."""

from __future__ import annotations

import click
import pytest

from netevd.cli.words import Assignment, DurationValue, EventName, advise, advise_all
from netevd.model.event import EventType


def test_advice_is_the_closest_word_or_all() -> None:
    """One that is close is named; if none is, all are."""
    assert advise("routeable", ["routable", "off"]) == "did you mean 'routable'?"
    assert advise("xyz", ["routable", "off"]) == "expected one of off, routable"


def test_advice_can_have_both() -> None:
    """The closest word if there is one, and in any case all."""
    assert advise_all("of", ["routable", "off"]) == "did you mean 'off'? There are off, routable"
    assert advise_all("xyz", ["routable", "off"]) == "There are off, routable"


def test_durations_are_those_of_the_configuration() -> None:
    """A number with its unit, in seconds; anything else says what was expected."""
    assert DurationValue().convert("250ms", None, None) == 0.25
    assert DurationValue().convert(0.5, None, None) == 0.5
    with pytest.raises(click.BadParameter, match="the unit is missing; write 30s for seconds"):
        DurationValue().convert("30", None, None)
    with pytest.raises(click.BadParameter, match="expected a duration such as 250ms"):
        DurationValue().convert("soon", None, None)


@pytest.mark.parametrize("kind", list(EventType))
def test_every_event_type_is_a_word(kind: EventType) -> None:
    """Whatever the daemon tells can be asked for."""
    assert EventName().convert(kind.value, None, None) is kind


def test_value_of_an_assignment_may_hold_anything() -> None:
    """Only the first equals sign divides; the value may be empty or hold more of them."""
    assert Assignment().convert("JSON={a=b}", None, None) == ("JSON", "{a=b}")
    assert Assignment().convert("ADDRESSES=", None, None) == ("ADDRESSES", "")


@pytest.mark.parametrize("text", ["PATH=/bin", "=x", "link=eth0", "LD_PRELOAD=x"])
def test_only_variables_of_scripts_can_be_assigned(text: str) -> None:
    """Nothing else can be smuggled into a script's environment."""
    with pytest.raises(click.BadParameter, match="no variable of scripts; .*Allowed are ADDRESSES"):
        Assignment().convert(text, None, None)
