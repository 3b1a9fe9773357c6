"""Recall over a real store: isolation, time, budget, association, and queries that hold nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.directories import directory
from fakes.events import (
    SPACE,
    START_MS,
    distilled,
    forgotten,
    message,
    recalled,
    reinforced,
    restored,
    retracted,
)
from fakes.machine import Machine, machine
from helamem.processors.digest import digest
from helamem.processors.recall.hits import Hit
from helamem.processors.recall.ranking import RankingParameters
from helamem.processors.recall.recall import Recall
from helamem.processors.recall.tokens import llama_tokens
from helamem.processors.store.port import Scores, Vector
from helamem.schemas.events import RecallSettings
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONTROL, RECALLS
from helamem.schemas.wire import Event, encode

OTHER = "acme/bert"
NOW_MS = START_MS + 10_000_000
WORDS = "tent lake ferry stove map rope boat axe fire wolf pine snow rain moss hill".split()


def filler(count: int, *, space: str = SPACE) -> list[Event]:
    """Return many messages about other things, each in a conversation of its own."""
    rng = random.Random(3)
    things = "lamp chair desk clock vase shelf carpet mirror curtain pillow blanket drawer".split()
    return [
        message(
            f"filler{n}",
            f"The {rng.choice(things)} beside the {rng.choice(things)} costs {n} crowns in shop {n}.",
            conversation=f"shop{n}",
            space=space,
            time_ms=START_MS + n,
        )
        for n in range(count)
    ]


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


async def ask(
    one: Machine,
    query: str,
    *,
    space: str = SPACE,
    now_ms: int = NOW_MS,
    until_ms: int | None = None,
    **how: int | bool | None,
) -> list[Hit]:
    """Return what a new recall finds."""
    recall = Recall(one.store, one.embedder, one.settings.hebbian)
    return await recall.recall(space, query, RecallSettings(**how), now_ms, until_ms=until_ms)  # type: ignore[arg-type]


def found(hits: list[Hit]) -> list[str]:
    """Return the message ids of the memories among the hits."""
    return [hit.turn.message_id for hit in hits if hit.turn is not None]


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    said=st.lists(st.tuples(st.sampled_from([SPACE, OTHER, "acme/anna2", "acm/anna"]), texts), min_size=4, max_size=20),
    query=texts,
    seed=st.integers(0, 2**32),
)
async def test_no_space_sees_anything_of_another(said: list[tuple[str, str]], query: str, seed: int) -> None:
    """Memories, facts and edges of several spaces that say the same: each recall returns its own alone."""
    rng = random.Random(seed)
    spaces = sorted({space for space, _ in said})
    names: dict[str, list[str]] = {space: [] for space in spaces}
    events = []
    for n, (space, text) in enumerate(said):
        names[space].append(f"m{n // 2}")
        events.append(message(f"m{n // 2}", text, space=space, conversation="same", time_ms=START_MS + n))
    for n, space in enumerate(spaces * 4):
        chosen = rng.choices(names[space], k=3)
        events.append(reinforced(f"r{n}", chosen, space=space, time_ms=START_MS + 100 + n))
        events.append(distilled(f"f{n}", f"fact {n}: {' '.join(rng.choices(WORDS, k=4))}", space=space))
    with directory() as path:
        async with machine(path) as one:
            await one.append(*events)
            await one.settle()
            for space in [*spaces, "acme/nobody"]:
                hits = await ask(one, query, space=space, k=50, facts=20)
                for hit in hits:
                    assert (hit.turn or hit.fact).space == space  # type: ignore[union-attr]
                    if hit.result.via is not None:
                        assert list(await one.store.turns(space, [hit.result.via]))
                own = {memory_id(space, name) for name in names.get(space, [])}
                assert {hit.result.id for hit in hits if hit.result.kind == "memory"} <= own
                assert {row.memory_id async for row in one.store.scan_edges(space)} <= own


async def test_other_spaces_neither_crowd_out_nor_move_a_score(one: Machine) -> None:
    """Two hundred better matches elsewhere leave every result, score and document frequency as it was."""
    await one.append(
        *(message(f"m{n}", f"The {word} is packed.", space=OTHER) for n, word in enumerate(WORDS)),
        *(distilled(f"f{n}", f"The {word} is ours.", space=OTHER) for n, word in enumerate(WORDS)),
    )
    await one.settle()
    before = [hit.result for hit in await ask(one, "tent and rope", space=OTHER, k=50)]
    assert len(before) > len(WORDS)
    await one.append(
        *(message(f"m{n}", f"tent and rope {n}", conversation=f"c{n}") for n in range(200)),
        *(distilled(f"f{n}", f"tent and rope {n}") for n in range(200)),
    )
    await one.settle()
    assert [hit.result for hit in await ask(one, "tent and rope", space=OTHER, k=50)] == before


async def test_forged_events_change_nothing_in_the_space_that_they_name(one: Machine) -> None:
    """Events of one space that name another's memories: nothing there is hidden, linked, distilled or returned."""
    mine = [message(f"m{n}", f"The {WORDS[n]} near the {WORDS[n + 1]} is mine.") for n in range(6)]
    theirs = [message(f"t{n}", f"The {WORDS[n]} near the {WORDS[n + 1]} is theirs.", space=OTHER) for n in range(6)]
    await one.append(*mine, *theirs, recalled("r", ["m0", "m1", "m2"]), reinforced("e", ["m0", "m1"]))
    await one.settle()
    before = (await digest(one.store, SPACE)).digest
    assert await ask(one, "tent near the lake", space=OTHER, k=50)
    # The same ids as in the space that is named; only key and subject are the forger's.
    forged: list[Event] = []
    for n in range(8):
        base = reinforced(f"x{n}", ["m0", "m1", "m2", "m3"], time_ms=NOW_MS + n)
        mixed = recalled(f"y{n}", ["m0", "m4"], time_ms=NOW_MS + n)
        forged += [Event(id=e.id, source="x", space=OTHER, time_ms=e.time_ms, data=e.data) for e in (base, mixed)]
    hide = forgotten("h", "m0", "m1", "m2")
    hide = Event(id="h", source="x", space=OTHER, time_ms=NOW_MS, data=hide.data)
    records = [NewRecord(topic=RECALLS.name, key=OTHER.encode(), value=encode(event)) for event in forged]
    await one.log.append([*records, NewRecord(topic=CONTROL.name, key=OTHER.encode(), value=encode(hide))])
    await one.settle()
    assert (await digest(one.store, SPACE)).digest == before
    assert not [turn async for turn in one.store.scan_turns(SPACE) if turn.hidden]
    for spreading in (True, False):
        hits = await ask(one, "tent near the lake", space=OTHER, k=50, spreading=spreading)
        assert {hit.turn.space for hit in hits if hit.turn} == {OTHER}
    assert not [fact async for fact in one.store.scan_facts(OTHER) if "is mine" in fact.text]
    # Nor does the other space see its own edges through the forger's.
    assert {hit.turn.space for hit in await ask(one, "tent near the lake", k=50) if hit.turn} == {SPACE}


async def test_what_was_said_later_is_left_out(one: Machine) -> None:
    """As of a moment, nothing later is returned: not by words, not by a temporal edge, not by a learned one."""
    events = [message(f"m{n}", f"The tent near the lake, day {n}.", time_ms=START_MS + n * 1000) for n in range(10)]
    late = message("late", "A violin was repaired.", conversation="elsewhere", time_ms=START_MS + 60_000)
    await one.append(*events, late, *(reinforced(f"e{n}", ["m0", "late"], time_ms=START_MS) for n in range(9)))
    await one.settle()
    hits = await ask(one, "tent near the lake", until_ms=START_MS + 4000, k=20, now_ms=START_MS + 4000)
    assert sorted(found(hits)) == ["m0", "m1", "m2", "m3", "m4"]
    assert "late" in found(await ask(one, "tent near the lake", k=20))


async def test_what_was_said_later_takes_no_room(one: Machine) -> None:
    """Turns around the seeds that are too late do not count: other candidates fill the answer."""
    early = [message(f"a{n}", f"The lamp {n} is on.", conversation=f"c{n}", time_ms=START_MS + n) for n in range(30)]
    late = [
        message(f"b{n}-{i}", f"Chair {n} {i}.", conversation=f"c{n}", time_ms=START_MS + 1000)
        for n in range(30)
        for i in range(3)
    ]
    await one.append(*early, *late)
    await one.settle()
    hits = await ask(one, "lamp", k=30, m=0, facts=0, until_ms=START_MS + 100)
    assert sorted(found(hits)) == sorted(f"a{n}" for n in range(30))


async def test_the_token_budget_is_kept(one: Machine) -> None:
    """All texts together fit; a long one that does not is passed over for shorter ones behind it."""
    await one.append(
        message("long", "tent lake " * 60, conversation="a"),
        *(message(f"m{n}", f"The tent at lake {n}.", conversation=f"c{n}") for n in range(8)),
    )
    await one.settle()
    free = await ask(one, "tent lake", k=20)
    assert found(free)[0] == "long"
    for budget in (1, 12, 30, 70, 500):
        hits = await ask(one, "tent lake", k=20, token_budget=budget)
        assert sum(llama_tokens(hit.text) for hit in hits) <= budget
        assert [name for name in found(free) if name in found(hits)] == found(hits), "the order is kept"
    assert "long" not in found(await ask(one, "tent lake", k=20, token_budget=70))
    assert await ask(one, "tent lake", k=20, token_budget=70)


async def test_a_learned_edge_brings_what_shares_no_word(one: Machine) -> None:
    """Reinforced together, a memory is found that neither words nor neighbourhood would bring; off, it is not."""
    tent = message("tent", "We bought the blue tent for Lofoten.", conversation="a")
    violin = message("violin", "Grandmother's instrument needs new strings.", conversation="b")
    # The shop's memories share words with the query, so that there is no room for the violin.
    others = [message(f"o{n}", f"The tent shop, blue sign, door {n}.", conversation=f"o{n}") for n in range(30)]
    await one.append(tent, violin, *others, *filler(30))
    await one.settle()
    query = "the blue tent for Lofoten"
    assert "violin" not in found(await ask(one, query, k=4, m=2))
    await one.append(*(reinforced(f"e{n}", ["tent", "violin"], time_ms=START_MS + n) for n in range(10)))
    await one.settle()
    hits = {hit.turn.message_id: hit.result for hit in await ask(one, query, k=4, m=2) if hit.turn}
    assert hits["violin"].path == "association"
    assert hits["violin"].via == memory_id(SPACE, "tent")
    assert hits["violin"].score > hits["violin"].base
    off = await ask(one, query, k=4, m=2, spreading=False)
    assert "violin" not in found(off)
    assert {hit.result.path for hit in off if hit.turn} == {"base"}
    assert all(hit.result.score == hit.result.base and hit.result.via is None for hit in off)
    # An edge fades: years later, without another word, it no longer reaches.
    much_later = await ask(one, query, k=4, m=2, now_ms=START_MS + 40 * 365 * 86_400_000)
    assert "violin" not in found(much_later)


async def test_the_turn_after_a_question_comes_with_it(one: Machine) -> None:
    """A temporal edge brings an answer that shares no word with the question asked of the memory."""
    asked = message("q", "Where does the ferry to Lofoten leave from?", conversation="a")
    answer = message("a", "Quay nine, past the fish market.", conversation="a")
    noise = [message(f"n{n}", f"Lofoten ferry brochure {n}", conversation=f"n{n}") for n in range(30)]
    await one.append(asked, answer, *noise)
    await one.settle()
    hits = {h.turn.message_id: h.result for h in await ask(one, "Where does the ferry leave from?", k=4, m=3) if h.turn}
    assert hits["a"].path == "association"
    assert hits["a"].via == memory_id(SPACE, "q")
    assert "a" not in found(await ask(one, "Where does the ferry leave from?", k=4, m=3, spreading=False))


@pytest.mark.parametrize("spreading", [False, True])
async def test_what_comes_for_what_it_says_was_lent_nothing(one: Machine, *, spreading: bool) -> None:
    """What holds now comes before a better match that held; nobody is named who brought it."""
    lisbon = message("lisbon", "I live in Lisbon and like where I live.", conversation="a")
    bergen = message("bergen", "We have moved to Bergen.", conversation="b", time_ms=START_MS + 1000)
    await one.append(lisbon, bergen, *filler(30))
    await one.settle()
    query = "Where does Anna live?"
    similar = await one.store.search_memories(SPACE, one.embedder.embed([query])[0], query, 1)
    assert [*similar.lexical] == [memory_id(SPACE, "lisbon")]
    (hit,) = await ask(one, query, k=1, m=0, spreading=spreading)
    assert found([hit]) == ["bergen"]
    assert (hit.result.path, hit.result.via) == ("base", None)


async def test_hidden_memories_and_facts_do_not_come_back(one: Machine) -> None:
    """Not by words, by time or along an edge; restored, a memory is there again."""
    await one.append(
        *(message(f"m{n}", f"The tent near the lake, part {n}.") for n in range(4)),
        message("far", "A violin was repaired.", conversation="b"),
        *(reinforced(f"e{n}", ["m0", "far"], time_ms=START_MS) for n in range(9)),
        distilled("f", "Anna's tent stands near the lake."),
        forgotten("x", "m1", "far"),
        retracted("y", "Anna's tent stands near the lake."),
    )
    await one.settle()
    hits = await ask(one, "tent near the lake", k=20)
    assert sorted(found(hits)) == ["m0", "m2", "m3"]
    assert "Anna's tent stands near the lake." not in {hit.text for hit in hits}
    await one.append(restored("z", "m1", "far"))
    await one.settle()
    assert sorted(found(await ask(one, "tent near the lake", k=20))) == ["far", "m0", "m1", "m2", "m3"]


@pytest.mark.parametrize("candidates", [5, 16, 100])
@pytest.mark.parametrize("seed", range(3))
async def test_what_is_kept_changes_no_answer(one: Machine, seed: int, candidates: int) -> None:
    """Who has asked before answers like who has the store score everything, whatever is said, hidden and shown.

    Some words are in many messages, so that some lists by words are full and others are not.
    """

    class Scoring(Recall):
        async def _around(self, *args: Any, **how: Any) -> tuple[Scores, AbstractSet[str]]:
            around, unseen = await super()._around(*args, **{**how, "complete": False})
            assert not unseen
            return around, unseen

    rng = random.Random(seed)
    parameters = RankingParameters(candidates=candidates)
    kept = Recall(one.store, one.embedder, one.settings.hebbian, parameters)
    names: list[str] = []
    hidden: set[str] = set()
    shown_again = 0
    for step in range(8):
        said = [f"{step}-{n}" for n in range(rng.randrange(4, 12))]
        names += said
        hide, show = rng.sample(names, 4), rng.sample(sorted(hidden), len(hidden) // 3)
        shown_again += len(show)
        hidden = hidden.union(hide).difference(show)
        await one.append(
            *(
                message(
                    name,
                    " ".join(rng.choices(WORDS[: 4 if number % 2 else 15], k=rng.choice([3, 3, 30]))),
                    conversation=f"c{rng.randrange(3)}",
                    speaker=rng.choice(["Anna", "Bert"]),
                    time_ms=START_MS + step,
                )
                for number, name in enumerate(said)
            ),
            *(reinforced(f"e{step}-{n}", rng.sample(names, 4), time_ms=START_MS + step) for n in range(6)),
            forgotten(f"f{step}", *hide),
            *([restored(f"r{step}", *show)] if show else []),
        )
        await one.settle()
        for _ in range(6):
            query = " ".join(rng.choices([*WORDS, "Anna"], k=rng.randrange(1, 4)))
            how = RecallSettings(k=rng.randrange(1, 12), m=rng.randrange(4), spreading=rng.random() < 0.9)
            scoring = Scoring(one.store, one.embedder, one.settings.hebbian, parameters)
            answer, plain = [await recall.recall(SPACE, query, how, NOW_MS) for recall in (kept, scoring)]
            assert [hit.result for hit in answer] == [hit.result for hit in plain]
            assert not hidden.intersection(found(answer))
    assert shown_again


@pytest.mark.parametrize("back", [False, True])
async def test_what_was_hidden_since_makes_room(one: Machine, *, back: bool) -> None:
    """Turns around a seed that are kept and were hidden since do not come back, and others come in their stead.

    Also where another recall, which held what is kept, puts it back before it is asked again.
    """
    await one.append(
        *(
            message(f"m{n}", "The ferry leaves at nine." if n == 4 else f"Chair {n}.", time_ms=START_MS + n)
            for n in range(9)
        ),
        *filler(30),
    )
    await one.settle()
    recall = Recall(one.store, one.embedder, one.settings.hebbian, RankingParameters(candidates=3))
    how = RecallSettings(k=3, m=0, facts=0)
    forget = recall._outlines.forget

    def put_back(space: str) -> object:
        table = forget(space)
        if table is not None:
            recall._outlines._tables[space] = table
        return table

    if back:
        recall._outlines.forget = put_back  # type: ignore[method-assign, assignment]
    before = found(await recall.recall(SPACE, "ferry", how, NOW_MS))
    assert (before[0], len(before)) == ("m4", 3)
    await one.append(forgotten("x", *before[1:]))
    await one.settle()
    after = found(await recall.recall(SPACE, "ferry", how, NOW_MS))
    assert (after[0], len(after)) == ("m4", 3)
    assert not {*before[1:]}.intersection(after)


async def test_facts_come_beside_episodes(one: Machine) -> None:
    """They stand behind the memories, best first, share a word with the query, and can be left out."""
    await one.append(
        *(message(f"m{n}", f"The tent near the lake, part {n}.") for n in range(4)),
        distilled("f0", "Anna's tent stands near the lake."),
        distilled("f1", "The tent has two poles."),
        distilled("f2", "Violins need new strings."),
    )
    await one.settle()
    hits = await ask(one, "tent near the lake")
    facts = [hit.fact.text for hit in hits if hit.fact]
    assert facts == ["Anna's tent stands near the lake.", "The tent has two poles."]
    assert [hit.result.kind for hit in hits] == ["memory"] * 4 + ["fact"] * 2
    assert {hit.result.path for hit in hits if hit.fact} == {"fact"}
    assert [hit.fact.text for hit in await ask(one, "tent near the lake", facts=1) if hit.fact] == facts[:1]
    assert [hit for hit in await ask(one, "tent near the lake", facts=0) if hit.fact] == []
    early = await ask(one, "tent near the lake", until_ms=START_MS - 1)
    assert early == [], "facts too are left out as of a time before them"


@pytest.mark.parametrize(
    "query",
    ["the of and is", "🙂🙂🎉", "?", " ", "\n", "\x00", "x", "لا", "tent " * 6500, "🙂" * 5000, "a" * 32_000],
)
async def test_a_query_that_holds_little_does_no_harm(one: Machine, query: str) -> None:
    """Stop words, emoji, one letter, 32,000 characters: an answer or none, always a sound one."""
    assert await ask(one, query) == [], "an empty space knows nothing"
    await one.append(*(message(f"m{n}", f"The tent near the lake, part {n}.") for n in range(6)))
    await one.settle()
    hits = await ask(one, query, k=3, m=1, facts=1)
    assert len(hits) <= 5
    assert len(set(found(hits))) == len(found(hits))
    for hit in hits:
        assert abs(hit.result.score) < 100  # neither NaN nor infinite


async def test_no_more_than_asked_and_none_twice(one: Machine) -> None:
    """At most k + m memories, best first."""
    await one.append(*filler(60), *(reinforced(f"e{n}", [f"filler{n}", "filler0"]) for n in range(20)))
    await one.settle()
    for k, m in ((1, 0), (3, 2), (10, 5), (100, 0)):
        hits = await ask(one, "the lamp beside the chair in shop 7", k=k, m=m, facts=0)
        assert len(hits) == min(k + m, 60)
        assert len(set(found(hits))) == len(hits)
        assert [hit.result.score for hit in hits] == sorted((hit.result.score for hit in hits), reverse=True)


async def test_the_same_question_has_the_same_answer(place: Path) -> None:
    """Asked again, by another process, after an optimisation: the same results with the same scores."""
    async with machine(place) as one:
        await one.append(*filler(80), *(reinforced(f"e{n}", [f"filler{n}", f"filler{n + 1}"]) for n in range(30)))
        await one.settle()
        recall = Recall(one.store, one.embedder, one.settings.hebbian)
        queries = ["lamp and chair", "What costs 12 crowns?", "mirror", "shop 7 pillow blanket"]
        first = [[h.result for h in await recall.recall(SPACE, q, RecallSettings(), NOW_MS)] for q in queries]
        again = [[h.result for h in await recall.recall(SPACE, q, RecallSettings(), NOW_MS)] for q in queries]
        assert again == first
        await one.store.optimize()
        assert [[h.result for h in await ask(one, q)] for q in queries] == first
    async with machine(place) as one:
        assert [[h.result for h in await ask(one, q)] for q in queries] == first


async def test_recall_writes_nothing(one: Machine) -> None:
    """Whatever is learned comes from events alone."""
    await one.append(*filler(20), *(reinforced(f"e{n}", [f"filler{n}", "filler0"]) for n in range(9)))
    await one.settle()
    before = await one.digest(), await one.ends()
    await ask(one, "lamp and chair")
    assert (await one.digest(), await one.ends()) == before


@pytest.mark.parametrize("seed", range(4))
async def test_words_are_scored_once_where_the_list_holds_them_all(one: Machine, seed: int) -> None:
    """Whether the list by words is full, and the turns around are asked again, or not, no result differs.

    What has its scores is not scored again.
    """
    rng = random.Random(seed)
    sharing = 30
    said = [f"tent {' '.join(rng.choices(WORDS, k=4))}" for _ in range(sharing)]
    said += [f"{number} chairs beside a lamp" for number in range(10)]
    rng.shuffle(said)
    await one.append(
        *(message(f"m{n}", text, conversation=f"c{n // 8}", time_ms=START_MS + n) for n, text in enumerate(said)),
        *(reinforced(f"r{n}", [f"m{n}", f"m{39 - n}"], time_ms=START_MS + 100 + n) for n in range(8)),
    )
    await one.settle()
    asked: list[str] = []
    had: list[Scores] = []
    score, search = one.store.score_memories, one.store.search_memories

    async def searching(*args: Any, **where: Any) -> Scores:
        had.append(await search(*args, **where))
        return had[-1]

    async def scoring(space: str, dense: Vector, lexical: str, **where: Any) -> Scores:
        asked.append(lexical)
        found = await score(space, dense, lexical, **where)
        if not lexical:  # but for those that tie for the last place, which do not count as found
            last = min(had[-1].dense.values())
            assert all(had[-1].dense[id_] == pytest.approx(last) for id_ in found.dense.keys() & had[-1].dense.keys())
        return found

    one.store.search_memories = searching  # type: ignore[method-assign]
    one.store.score_memories = scoring  # type: ignore[method-assign]
    results = []
    for candidates in (sharing, sharing + 1):
        # The dense list is cut where the list by words is; a weight of 0 keeps that out of the scores.
        parameters = RankingParameters(candidates=candidates, dense=0.0)
        recall = Recall(one.store, one.embedder, one.settings.hebbian, parameters)
        results.append([hit.result for hit in await recall.recall(SPACE, "tent", RecallSettings(), NOW_MS)])
    assert asked == ["tent", ""]
    assert results[0] == results[1]


async def test_the_same_memories_answer_alike_however_they_came(place: Path) -> None:
    """At once or bit by bit, merged or not: more match equally well than a list holds, and both name the same."""
    rng = random.Random(5)
    texts = [f"tent rope {word}" for word in WORDS[5:14]] + [f"tent {word} {word}" for word in WORDS[3:] * 5]
    rng.shuffle(texts)
    said = [message(f"m{n}", text, conversation=f"c{n}", time_ms=START_MS + n) for n, text in enumerate(texts)]
    answers = []
    for name, step in (("at once", len(said)), ("bit by bit", 7)):
        (place / name).mkdir()
        async with machine(place / name) as one:
            for start in range(0, len(said), step):
                await one.append(*said[start : start + step])
                await one.settle()
                if step < len(said):
                    await one.store.optimize()
            recall = Recall(one.store, one.embedder, one.settings.hebbian, RankingParameters(candidates=16))
            hits = await recall.recall(SPACE, "tent rope", RecallSettings(), NOW_MS)
            answers.append([hit.result.id for hit in hits])
    assert answers[0] == answers[1]


async def moved(one: Machine) -> None:
    """Have Anna live in Lisbon, then in Bergen, both told by messages and as facts, and her boss change unnoticed."""
    await one.append(
        message("old", "I live in Lisbon, close to the river.", time_ms=START_MS),
        message(
            "new", "Guess what, we have settled in Bergen for good.", time_ms=START_MS + 1000, conversation="later"
        ),
        distilled("f-old", "Anna lives in Lisbon by the river.", evidence=["old"], claim=("home", "lisbon")),
        distilled(
            "f-new", "Settled for good: Bergen.", evidence=["new"], claim=("home", "bergen"), time_ms=START_MS + 1000
        ),
        distilled("f-tent", "Anna owns a tent in Lisbon colours.", evidence=["old"]),
    )
    await one.settle()


async def test_what_holds_comes_before_what_held(one: Machine) -> None:
    """Of memories and of facts, also where the newer words share none with the question; what held is marked."""
    await moved(one)
    hits = await ask(one, "Where does Anna live?", facts=5)
    assert found(hits) == ["new", "old"]
    told = [(hit.fact.text, hit.ended_ms) for hit in hits if hit.fact is not None]
    assert told[0] == ("Settled for good: Bergen.", None)
    assert told[-1] == ("Anna lives in Lisbon by the river.", START_MS + 1000)


async def test_at_an_earlier_moment_what_held_then_holds(one: Machine) -> None:
    """Nothing is known of what came later."""
    await moved(one)
    hits = await ask(one, "Where does Anna live?", facts=5, now_ms=START_MS + 999, until_ms=START_MS + 999)
    assert found(hits) == ["old"]
    told = {hit.fact.text: hit.ended_ms for hit in hits if hit.fact is not None}
    assert told["Anna lives in Lisbon by the river."] is None
    assert "Settled for good: Bergen." not in told


async def test_a_question_about_the_past_is_answered_by_what_held(one: Machine) -> None:
    """The order is that of the scores."""
    await moved(one)
    assert found(await ask(one, "Where did Anna live before?"))[0] == "old"
    assert found(await ask(one, "Did Anna use to live in Lisbon earlier?"))[0] == "old"


async def test_a_retracted_fact_ends_nothing(one: Machine) -> None:
    """What it had superseded holds again."""
    await moved(one)
    await one.append(retracted("x", "Settled for good: Bergen."))
    await one.settle()
    hits = await ask(one, "Where does Anna live?", facts=5)
    assert {hit.fact.text: hit.ended_ms for hit in hits if hit.fact} == {
        "Anna lives in Lisbon by the river.": None,
        "Anna owns a tent in Lisbon colours.": None,
    }


async def test_a_fact_goes_with_the_memory_that_its_words_are_from(one: Machine) -> None:
    """Forgotten, it takes the fact out of every recall; restored, it brings it back. What only confirms does not."""
    await moved(one)
    await one.append(distilled("f-again", "Settled for good: Bergen.", evidence=["old"], claim=("home", "bergen")))
    await one.append(forgotten("gone", "old"))
    await one.settle()
    texts = [hit.fact.text for hit in await ask(one, "Where does Anna live? Bergen or Lisbon?", facts=5) if hit.fact]
    assert texts == ["Settled for good: Bergen."]
    await one.append(restored("back", "old"))
    await one.settle()
    assert len([hit for hit in await ask(one, "Where does Anna live? Bergen or Lisbon?", facts=5) if hit.fact]) == 3
