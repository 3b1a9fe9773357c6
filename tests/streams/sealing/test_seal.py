"""What is sealed opens with all of its keys, in its own event, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from fakes.events import distilled, message
from helamem.processors.encoding.unsealing import Erased, NoKeys
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import SEALED_TEXT, ConversationMessage, KnowledgeDistilled, Sealed, SubjectErased
from helamem.schemas.records import Position
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.seal import Opener, Sealer

THING = "00000000-0000-5000-8000-000000000001"
TEXT = "I live in Quixotropolis."


@pytest.fixture
def keys(tmp_path: Path) -> KeyFiles:
    make_keys(tmp_path / "keys")
    return KeyFiles(tmp_path / "keys")


@pytest.fixture
def sealer(keys: KeyFiles) -> Sealer:
    return Sealer(keys, ["acme"])


def said(text: str = TEXT, id_: str = "m0", **changes: object) -> Event:
    event = message(id_, text)
    assert isinstance(event.data, ConversationMessage)
    return replace(event, data=replace(event.data, **changes))


def sealed_of(event: Event) -> Sealed:
    assert isinstance(event.data, ConversationMessage | KnowledgeDistilled)
    assert event.data.sealed is not UNSET
    return event.data.sealed


def test_words_come_back_and_are_not_on_the_wire(keys: KeyFiles, sealer: Sealer) -> None:
    sealed = sealer.seal(said())
    raw = encode(sealed)
    assert b"Quixotropolis" not in raw
    assert isinstance(sealed.data, ConversationMessage)
    assert sealed.data.text == SEALED_TEXT
    assert Opener(keys, Erased()).open(decode(raw)) == TEXT
    assert sealer.seal(sealed) is sealed


def test_another_tenant_is_left_alone(sealer: Sealer) -> None:
    event = replace(said(), space="other/anna")
    assert sealer.seal(event) is event


def test_the_same_event_is_the_same_bytes_and_equal_content_the_same_commitment(sealer: Sealer) -> None:
    """What comes twice is a duplicate; the same words in another event have other bytes."""
    first, again, other = sealer.seal(said()), sealer.seal(said()), sealer.seal(replace(said(), id="another"))
    assert encode(first) == encode(again)
    assert sealed_of(first).commitment == sealed_of(other).commitment
    assert sealed_of(first).ciphertext != sealed_of(other).ciphertext
    assert sealed_of(first).commitment != sealed_of(sealer.seal(said("I live in Bergen."))).commitment


def test_each_key_of_several_subjects_is_needed(keys: KeyFiles, sealer: Sealer) -> None:
    """Erasing any one of them erases the words."""
    sealed = sealer.seal(said(data_subjects=("Tom", "Mira", "Tom")))
    named = sealed_of(sealed).keys
    assert [one.subject for one in named] == ["Mira", "Tom"]
    for one in named:
        erased = Erased()
        erased.note(sealed.space, SubjectErased(subject=one.subject, keys=(one.key,)), Position(1, 0))
        assert Opener(keys, erased).open(sealed) is None
        assert NoKeys(erased).open(sealed) is None
    keys.destroy(sealed.space, "Tom", named[1].key)
    assert Opener(keys, Erased()).open(sealed) is None


def test_moved_or_altered_words_are_poison(keys: KeyFiles, sealer: Sealer) -> None:
    """In another event, with other bytes, or with another commitment."""
    sealed, opener = sealer.seal(said()), Opener(keys, Erased())
    inner = sealed_of(sealed)
    for forged in (
        replace(sealed, id="another"),
        replace(sealed, data=replace(sealed.data, sealed=replace(inner, ciphertext="AAAA" + inner.ciphertext[4:]))),
        replace(sealed, data=replace(sealed.data, sealed=replace(inner, ciphertext="A=="))),
        replace(sealed, data=replace(sealed.data, sealed=replace(inner, commitment="0" * 64))),
        replace(sealed, data=replace(sealed.data, speaker="Somebody else")),
    ):
        with pytest.raises(Poison, match=r"data\.sealed\."):
            opener.open(forged)


def test_a_fact_gets_its_ids_from_the_commitment(keys: KeyFiles, sealer: Sealer) -> None:
    fact = distilled("told", TEXT, evidence=["m0"])
    sealed = sealer.seal(fact)
    assert isinstance(fact.data, KnowledgeDistilled)
    assert isinstance(sealed.data, KnowledgeDistilled)
    assert sealed.data.fact_id != fact.data.fact_id
    assert [one.subject for one in sealed_of(sealed).keys] == ["*"]
    assert Opener(keys, Erased()).open(sealed) == TEXT


def test_without_keys_it_is_an_error(sealer: Sealer) -> None:
    """What is not sealed is read as ever."""
    assert NoKeys().open(said()) == TEXT
    with pytest.raises(ConfigurationError, match="no keys are at hand"):
        NoKeys().open(sealer.seal(said()))
    with pytest.raises(Poison, match=r"data\.sealed: seals words, and workers have no keys"):
        NoKeys(put_aside=True).open(sealer.seal(said()))


def test_an_erasure_in_another_space_is_none() -> None:
    erased = Erased()
    erased.note("acme/else", SubjectErased(subject="Mira", memory_ids=(THING,)), Position(1, 0))
    assert erased.has("acme/else", THING)
    assert not erased.has("acme/team", THING)


def test_an_erasure_closes_the_keys_of_its_own_space_alone(keys: KeyFiles, sealer: Sealer) -> None:
    """The same name in two spaces is two data subjects, and an event in one space names no key of another."""
    here, there = sealer.seal(said()), sealer.seal(replace(said(), space="acme/else"))
    named = tuple(one.key for event in (here, there) for one in sealed_of(event).keys)
    assert len(set(named)) == 2
    erased = Erased()
    erased.note("acme/else", SubjectErased(subject=sealed_of(here).keys[0].subject, keys=named), Position(1, 0))
    assert Opener(keys, erased).open(there) is None
    assert Opener(keys, erased).open(here) == TEXT
    with pytest.raises(ConfigurationError, match="no keys are at hand"):
        NoKeys(erased).open(here)


def test_of_two_erasures_the_first_one_counts() -> None:
    """Whichever is read first; a restoration between them brings nothing back."""
    for offsets in ((5, 9), (9, 5)):
        erased = Erased()
        for offset in offsets:
            erased.note("acme/else", SubjectErased(subject="Mira", memory_ids=(THING,)), Position(1, offset))
        assert not erased.before("acme/else", THING, Position(1, 4))
        assert erased.before("acme/else", THING, Position(1, 7))
        assert erased.before("acme/else", THING, Position(2, 0))


def test_what_a_fact_claims_does_not_stand_beside_its_sealed_words(sealer: Sealer) -> None:
    """An allergy is as much a word as the sentence that tells of it."""
    sealed = sealer.seal(distilled("f", TEXT, claim=("allergy:quixotropolitan nuts", "yes")))
    assert isinstance(sealed.data, KnowledgeDistilled)
    assert (sealed.data.key, sealed.data.value) == (UNSET, UNSET)
    assert b"quixotropolitan" not in encode(sealed)


def test_what_a_fact_claims_opens_with_its_words(keys: KeyFiles, sealer: Sealer) -> None:
    """With the same keys, in its own event alone; where there is none nothing is said of it."""
    fact = distilled("f", TEXT, claim=("home", "quixotropolis"))
    sealed, other, none = sealer.seal(fact), sealer.seal(replace(fact, id="o")), sealer.seal(distilled("g", "Tea."))
    opener = Opener(keys, Erased())
    assert opener.claim(decode(encode(sealed))) == NoKeys().claim(fact) == ("home", "quixotropolis")
    assert opener.claim(none) == ("", "")
    assert sealed_of(none).claim is UNSET
    words, moved = sealed_of(sealed).ciphertext, replace(sealed_of(sealed), claim=sealed_of(sealed).ciphertext)
    assert words != sealed_of(sealed).claim
    with pytest.raises(Poison, match=r"^data\.sealed\.claim: was not sealed so for this event"):
        opener.claim(replace(sealed, data=replace(sealed.data, sealed=moved)))
    with pytest.raises(ConfigurationError):
        opener.claim(replace(sealed, space="acme/else"))
    with pytest.raises(ConfigurationError, match="no keys are at hand"):
        NoKeys().claim(other)
    (key,) = sealed_of(sealed).keys
    erased = Erased()
    erased.note(sealed.space, SubjectErased(subject=key.subject, keys=(key.key,)), Position(1, 0))
    assert Opener(keys, erased).claim(sealed) == NoKeys(erased).claim(sealed) == ("", "")
    keys.destroy(sealed.space, key.subject, key.key)
    assert opener.claim(sealed) == ("", "")


def test_what_supersedes_a_sealed_fact_names_it_as_it_is_named_in_the_log(sealer: Sealer) -> None:
    """Its former id follows from its words, so whoever guesses them could find it there."""
    home = sealer.seal(distilled("f", "Mira lives in Lisbon.", claim=("home", "lisbon")))
    moved = distilled("g", "Mira lives in Bergen.", claim=("home", "bergen"), supersedes=["Mira lives in Lisbon."])
    assert isinstance(home.data, KnowledgeDistilled)
    assert isinstance(moved.data, KnowledgeDistilled)
    sealed = sealer.seal(moved).data
    assert isinstance(sealed, KnowledgeDistilled)
    assert sealed.supersedes == (home.data.fact_id,) != moved.data.supersedes
