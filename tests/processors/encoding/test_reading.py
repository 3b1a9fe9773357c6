"""What is read of a message, and that nothing else is taken for it when it was kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.encoding import reading
from helamem.processors.encoding.reading import READ_BY, Reading, Said, packed, read, rules_of, unpacked

SAID = Said("Mira", "I moved to Bergen in May and work as a baker.", sealed=False)
LOADED = """
import sys
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.encoding.keywords import keywords
print(*sorted(name for name, one in sys.modules.items() if name.startswith("helamem") and one.__file__))
"""


def test_it_has_keywords_and_claims() -> None:
    """Who speaks is whom "I" is about."""
    found = read(SAID)
    assert found.keywords[:2] == ("bergen", "may")
    assert Claim("Mira", "home", "bergen") in found.claims
    assert read(Said("Tom", SAID.text, sealed=False)).claims[0].subject == "Tom"


@given(speaker=st.text(max_size=5), text=st.text(max_size=40) | st.just(SAID.text))
def test_what_is_packed_comes_back(speaker: str, text: str) -> None:
    """Equal to what is read anew."""
    said = Said(speaker, text, sealed=False)
    assert unpacked(said, packed(said, read(said))) == read(said)


def test_nobody_elses_words_are_taken_for_it() -> None:
    """Not what another said, nor another cut of the same whole, nor what is damaged or not there."""
    content = packed(SAID, read(SAID))
    for other in (
        SAID._replace(speaker="Tom"),
        SAID._replace(text=f"{SAID.text} "),
        Said("Mira: I moved", SAID.text, sealed=False),
    ):
        assert unpacked(other, content) is None
    one, cut = Said("A: b", "c", sealed=False), Said("A", "b: c", sealed=False)
    assert unpacked(cut, packed(one, read(one))) is None
    assert unpacked(SAID, content[:-1] + b"\xc0") is None
    assert unpacked(SAID, content[:5]) is None
    assert unpacked(SAID, b"") is None


def test_other_rules_take_nothing_over() -> None:
    """Any change of a source, its order or its end makes other rules, which know nothing of what was read by these."""
    sources = [b"a = 1\n", b"b = 2\n"]
    others = [[b"a = 1\n", b"b = 3\n"], sources[::-1], sources[:1], [b"a = 1\nb = 2\n"], [b"a = 1\n\n", b"b = 2\n"]]
    assert len({rules_of(one) for one in [sources, *others]}) == 6
    content = packed(SAID, Reading(("stale",), ()))
    assert unpacked(SAID, content) == Reading(("stale",), ())
    before, reading._RULES = reading._RULES, rules_of(sources)
    try:
        assert unpacked(SAID, content) is None
    finally:
        reading._RULES = before


def test_every_module_that_reads_is_one_of_the_rules() -> None:
    """Whoever reads by a new module of patterns names it there, or what was read before would be served for ever."""
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert done.stdout.split() == sorted(module.__name__ for module in READ_BY)
    assert all(Path(str(module.__file__)).suffix == ".py" for module in READ_BY)
