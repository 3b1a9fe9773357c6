"""Validity: how long statements hold follows from the statements alone."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.consolidation.validity import End, Stated, current_of, ends

HOME = ("anna", "home")
NOW = 1_000


def stated(id_: str, value: str, at: int, *, supersedes: tuple[str, ...] = ()) -> Stated:
    """Return a statement of where Anna lives."""
    return Stated(id=id_, slot=HOME, value=value, from_ms=at, supersedes=supersedes)


def test_a_statement_holds_until_another_value_is_stated() -> None:
    """What says the same again ends nothing, and what comes back holds anew."""
    known = [stated("a", "lisbon", 1), stated("b", "lisbon", 2), stated("c", "bergen", 3), stated("d", "lisbon", 5)]
    assert ends(known, NOW) == {"a": End(3, "c"), "b": End(3, "c"), "c": End(5, "d")}
    assert current_of("a", ends(known, NOW)) == "d"


def test_what_came_later_is_not_known_yet() -> None:
    """At each moment only what was stated by then counts."""
    known = [stated("a", "lisbon", 1), stated("b", "bergen", 3)]
    assert ends(known, 2) == {}
    assert ends(known, 3) == {"a": End(3, "b")}


def test_without_what_ended_it_a_statement_holds_again() -> None:
    """A retraction leaves nothing behind."""
    known = [stated("a", "lisbon", 1), stated("b", "bergen", 3), stated("c", "oslo", 7)]
    assert ends([known[0], known[2]], NOW) == {"a": End(7, "c")}


def test_a_statement_may_supersede_another_by_name() -> None:
    """Whatever that is about; one that is not there is no matter."""
    other = Stated(id="x", slot=None, value="", from_ms=2)
    known = [other, stated("a", "lisbon", 4, supersedes=("x", "nobody"))]
    assert ends(known, NOW) == {"x": End(4, "a")}


def test_statements_that_supersede_each_other_are_followed_once() -> None:
    """A circle has no end, and looking for it comes to one."""
    known = [
        Stated(id="x", slot=None, value="", from_ms=2, supersedes=("y",)),
        Stated(id="y", slot=None, value="", from_ms=2, supersedes=("x",)),
    ]
    assert current_of("x", ends(known, NOW)) in {"x", "y"}


values = st.sampled_from(["lisbon", "bergen", "oslo", "new oslo", "none"])


@given(
    st.lists(st.tuples(values, st.integers(0, 9), st.booleans()), max_size=12), st.integers(0, 9), st.integers(0, 2**32)
)
def test_the_order_in_which_statements_become_known_is_no_matter(
    said: list[tuple[str, int, bool]], as_of: int, seed: int
) -> None:
    """Any order gives the same ends; each is ended once, by what is later and of its slot; the last one holds."""
    known = [
        Stated(id=str(n), slot=HOME if here else ("bert", "home"), value=value, from_ms=at, order=(n,))
        for n, (value, at, here) in enumerate(said)
    ]
    found = ends(known, as_of)
    random.Random(seed).shuffle(known)
    assert ends(known, as_of) == found
    by_id = {one.id: one for one in known}
    for id_, end in found.items():
        assert by_id[id_].from_ms <= end.at_ms <= as_of
        assert by_id[end.by].slot == by_id[id_].slot
    for slot in {one.slot for one in known}:
        of_slot = [one for one in known if one.slot == slot and one.from_ms <= as_of]
        if of_slot:
            last = max(of_slot, key=lambda one: (one.from_ms, one.order))
            assert last.id not in found
