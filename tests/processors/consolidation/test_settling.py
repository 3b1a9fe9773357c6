"""Settling: what a new statement is to what is known of its slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fakes.turns import NOON, turn
from helamem.processors.consolidation.distiller import Statement
from helamem.processors.consolidation.settling import Known, settle
from helamem.schemas.times import to_ms

DAY = timedelta(days=1)


def statement(value: str, at: datetime, number: int = 9) -> Statement:
    """Return that Anna lives somewhere."""
    return Statement(
        kind="user-trait",
        text=f"I live in {value.title()}.",
        subject="Anna",
        valid_from_ms=to_ms(at),
        evidence=(turn(number, f"I live in {value.title()}.", time=at),),
        key="home",
        value=value,
    )


def known(id_: str, value: str, at: datetime, *evidence: str) -> Known:
    """Return what is known of it."""
    return Known(
        id=id_,
        kind="user-trait",
        text=f"We live in {value.title()}.",
        subject="anna",
        key="home",
        value=value,
        from_ms=to_ms(at),
        evidence=frozenset(evidence),
    )


def test_the_first_statement_of_a_slot_is_told_as_it_is() -> None:
    assert settle(statement("oslo", NOON), [], "new") == statement("oslo", NOON)


def test_another_value_supersedes_what_holds_at_its_time() -> None:
    """And nothing that was over before."""
    found = settle(statement("oslo", NOON), [known("a", "rome", NOON - 2 * DAY), known("b", "bonn", NOON - DAY)], "new")
    assert found is not None
    assert (found.supersedes, found.valid_until_ms, found.text) == (("b",), None, "I live in Oslo.")


def test_what_is_learned_late_ends_where_the_next_one_begins() -> None:
    """Event time decides, not when something was distilled."""
    found = settle(statement("oslo", NOON - DAY), [known("b", "bonn", NOON)], "new")
    assert found is not None
    assert (found.supersedes, found.valid_until_ms) == ((), to_ms(NOON))


def test_the_same_value_adds_its_evidence_to_the_fact_that_is_known() -> None:
    """Under the words of that fact, also where it is the earlier one; nothing at all where the evidence is known."""
    for at in (NOON - DAY, NOON + DAY):
        found = settle(statement("oslo", NOON), [known("a", "oslo", at, "m1")], "new")
        assert found is not None
        assert (found.text, found.supersedes) == ("We live in Oslo.", ())
        assert [one.message_id for one in found.evidence] == ["m9"]
    there = statement("oslo", NOON)
    assert settle(there, [known("a", "oslo", NOON, there.evidence[0].id)], "new") is None


def test_a_value_that_came_back_is_a_fact_of_its_own() -> None:
    """Between the two another one held."""
    found = settle(statement("oslo", NOON), [known("a", "oslo", NOON - 3 * DAY), known("b", "bonn", NOON - DAY)], "new")
    assert found is not None
    assert found.supersedes == ("b",)


def test_the_end_of_what_nobody_knew_of_says_nothing_of_a_slot() -> None:
    """It is told as a statement like any other; where something is known, it ends that."""
    over = statement("none", datetime(2025, 3, 1, tzinfo=UTC))
    assert settle(over, [], "new") == Statement(
        kind="user-trait", text=over.text, subject="Anna", valid_from_ms=over.valid_from_ms, evidence=over.evidence
    )
    ended = settle(over, [known("a", "oslo", datetime(2025, 1, 1, tzinfo=UTC))], "new")
    assert ended is not None
    assert (ended.key, ended.value, ended.supersedes) == ("home", "none", ("a",))
