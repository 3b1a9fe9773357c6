"""The events that travel through the log: frozen, keyword-only, past tense, versioned by type string."""

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from helamem.schemas.settings import Settings
from helamem.schemas.times import MAX_MS

MAX_TEXT = 32_768
"""Longest text of one message or fact, in characters."""
MAX_INTEGER = 2**53 - 1
"""Largest whole number in an event: the largest that every JSON reader keeps exactly (RFC 7493)."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
Uuid = Annotated[str, Meta(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", max_length=36)]
"""A UUID in lower case. The length is stated too, since `$` alone lets a line break through."""
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
"""A SHA-256 in lower-case hexadecimal."""
PublicKey = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
"""An Ed25519 public key (RFC 8032) in lower-case hexadecimal."""
Signature = Annotated[str, Meta(pattern="^[0-9a-f]{128}$", max_length=128)]
"""An Ed25519 signature (RFC 8032) in lower-case hexadecimal."""
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_MS)]
"""Milliseconds since 1970-01-01T00:00:00Z."""
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Offset = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Weight = Annotated[int, Meta(ge=0, le=2**32)]
"""An edge weight in units of 2⁻³²: 0 is none, 2³² is the cap of 1."""
Score = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""Bounded, so that neither NaN nor infinity is one: JSON has neither."""
MOST_SUBJECTS = 64
Subjects = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MOST_SUBJECTS)]
"""Data subjects: whom words are about or from, so that erasing any one of them erases the words."""
EVERYONE = "*"
"""Stands for whoever is in the space, where nobody says whose words they are: any erasure there erases them."""
Key = Annotated[str, Meta(pattern=r"^[^\x00-\x1f]+$(?!\n)", max_length=256)]
"""What a fact says of its subject, such as `home`; behind a colon what it is about: `likes:tennis`."""
SEALED_TEXT = "[sealed]"
"""What stands where words would, in an event whose words are sealed."""


# gc=False, here and in what carries events and records: none of them can come to refer to itself, and a batch holds
# tens of thousands, which the garbage collector would walk through again and again.
class EventData(Struct, frozen=True, kw_only=True, gc=False):
    """The `data` of an event; every subclass names the type string that it travels under."""

    event_type: ClassVar[str]


class SealingKey(Struct, frozen=True, kw_only=True, gc=False):
    """One of the keys that seal words."""

    subject: Name
    """The data subject whose key it is."""
    key: Uuid
    """Id of the key; a subject gets another one after an erasure."""


class Sealed(Struct, frozen=True, kw_only=True, gc=False):
    """Words that can be read for as long as every one of these keys exists."""

    keys: Annotated[tuple[SealingKey, ...], Meta(min_length=1, max_length=MOST_SUBJECTS)]
    """In order of their subjects."""
    ciphertext: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/=]+$(?!\n)", max_length=200_000)]
    """Base64 of nonce (12 bytes), AES-256-GCM ciphertext and tag (16 bytes); docs/erasure.md says what of."""
    commitment: Sha256
    """HMAC-SHA-256 of the content under the same keys: equal for equal content; without them no guess can be tried."""
    claim: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/=]+$(?!\n)", max_length=4_000)] | UnsetType = UNSET
    """Of a fact with a key: key and value as a JSON list, sealed as the ciphertext is."""


class ConversationMessage(EventData, frozen=True, kw_only=True):
    """Somebody said something in a conversation."""

    event_type: ClassVar[str] = "conversation.message.v1"

    message_id: Name
    """Unique within the space: the first message with an id is the one that counts."""
    conversation: Name
    speaker: Name
    role: Literal["user", "agent"] = "user"
    """Whether the speaker is someone the agent serves or an agent itself."""
    text: Text
    data_subjects: Subjects | UnsetType = UNSET
    """Whose words they are; where it is missing, a user's are the speaker's own, and an agent's are everyone's."""
    sealed: Sealed | UnsetType = UNSET
    """The text, where it is sealed."""


class RecalledResult(Struct, frozen=True, kw_only=True, gc=False):
    """One result of a recall, with the reason why it is there."""

    id: Uuid
    kind: Literal["memory", "fact"]
    path: Literal["base", "association", "fact"]
    score: Score
    """Activation: base score plus what spread to it."""
    base: Score
    via: Uuid | None = None
    """The seed that gave it the most, where association put it there."""


class RecallSettings(Struct, frozen=True, kw_only=True, gc=False):
    """What a recall was asked to do."""

    k: Annotated[int, Meta(ge=1, le=1000)] = 10
    """Results by base score."""
    m: Annotated[int, Meta(ge=0, le=1000)] = 5
    """Further results by association."""
    facts: Annotated[int, Meta(ge=0, le=1000)] = 3
    """Further results from the facts."""
    spreading: bool = True
    token_budget: Annotated[int, Meta(ge=1, le=MAX_INTEGER)] | None = None
    """Upper bound on the tokens of all texts together, or None."""


class MemoryRecalled(EventData, frozen=True, kw_only=True):
    """An agent asked a question and was given these results."""

    event_type: ClassVar[str] = "memory.recalled.v1"

    query: Text
    as_of: Milliseconds
    results: Annotated[tuple[RecalledResult, ...], Meta(max_length=2000)]
    settings: RecallSettings
    applied: dict[str, Offset]
    """Per `topic/partition`: the first offset that the answering projection had not applied."""
    sealed: Sealed | UnsetType = UNSET
    """The query, where it is sealed."""
    caller: Name | UnsetType = UNSET
    """Who asked, where a gateway that has keys took the question: as in `space.accessed`."""


class MemoryReinforced(EventData, frozen=True, kw_only=True):
    """An agent said which of the recalled memories it used."""

    event_type: ClassVar[str] = "memory.reinforced.v1"

    recall_id: Name
    """Id of the `memory.recalled` event."""
    memory_ids: Annotated[tuple[Uuid, ...], Meta(min_length=1, max_length=1000)]
    """What was of use."""
    cue: Uuid | UnsetType = UNSET
    """What the question found first, where that is none of them: the way to them from there."""

    @property
    def together(self) -> tuple[str, ...]:
        """All memories that gain links to each other."""
        return self.memory_ids if self.cue is UNSET else (*self.memory_ids, self.cue)


class ClusterMember(Struct, frozen=True, kw_only=True, gc=False):
    """A neighbour of a hub and the weight of the edge at that moment."""

    memory_id: Uuid
    weight: Weight


class HubFormed(EventData, frozen=True, kw_only=True):
    """A memory was recalled together with others so often that it became a hub."""

    event_type: ClassVar[str] = "memory.hub-formed.v1"

    memory_id: Uuid
    strength: Count
    """Sum of the learned weights of all its neighbours, in units of 2⁻³²."""
    degree: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    cluster: Annotated[tuple[ClusterMember, ...], Meta(min_length=1, max_length=64)]
    """Its strongest neighbours, strongest first."""
    cause: Name
    """Id of the event that made it a hub."""
    applied: dict[str, Offset]
    """The projection's positions when the members were recalled: from there on each exists or never will."""


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """A memory that a fact rests on, and the hash of what it said."""

    memory_id: Uuid
    content_hash: Sha256


class KnowledgeDistilled(EventData, frozen=True, kw_only=True):
    """A cluster of memories was distilled into one statement."""

    event_type: ClassVar[str] = "knowledge.distilled.v1"

    fact_id: Uuid
    kind: Literal["user-trait", "fact", "agent-knowledge"]
    text: Text
    subject: Name
    """Whom or what the statement is about."""
    valid_from: Milliseconds
    key: Key | UnsetType = UNSET
    """What it says of its subject; of one subject and key one value holds at a time. Missing where nobody knows."""
    value: Name | UnsetType = UNSET
    """What it says of that: `bergen`; `yes` or `no` for a key with a colon, `none` where there is none any more."""
    valid_until: Milliseconds | UnsetType = UNSET
    """Event time at which it held no longer, where that was known when it was distilled."""
    supersedes: Annotated[tuple[Uuid, ...], Meta(max_length=64)] | UnsetType = UNSET
    """Facts that hold no longer since this one does."""
    evidence: Annotated[tuple[Evidence, ...], Meta(min_length=1, max_length=64)]
    hub: Name
    """Id of the `memory.hub-formed` event."""
    distiller: Name
    """Name and version of what wrote it."""
    confidence: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET
    """How sure a model is of it, in percent, where one wrote it and said so."""
    answer: Uuid | UnsetType = UNSET
    """Id of the `model.answered` event in which it stands word for word, where a model wrote it."""
    data_subjects: Subjects | UnsetType = UNSET
    """Whose words it was distilled from, where those were sealed."""
    sealed: Sealed | UnsetType = UNSET
    """The text, with key and value, where it is sealed; the fact's id is then derived from the commitment."""


class KnowledgeRetracted(EventData, frozen=True, kw_only=True):
    """A fact no longer holds and is not to be recalled."""

    event_type: ClassVar[str] = "knowledge.retracted.v1"

    fact_id: Uuid
    reason: Name


class MemoryForgotten(EventData, frozen=True, kw_only=True):
    """Memories were hidden from recall; `memory.restored` brings them back."""

    event_type: ClassVar[str] = "memory.forgotten.v1"

    memory_ids: Annotated[tuple[Uuid, ...], Meta(min_length=1, max_length=1000)]
    reason: Name
    run: Uuid | UnsetType = UNSET
    """Which application of a policy chose them, so that all it chose can be brought back; missing where none did."""


class MemoryRestored(EventData, frozen=True, kw_only=True):
    """Forgotten memories may be recalled again."""

    event_type: ClassVar[str] = "memory.restored.v1"

    memory_ids: Annotated[tuple[Uuid, ...], Meta(min_length=1, max_length=1000)]
    reason: Name


class SubjectErased(EventData, frozen=True, kw_only=True):
    """What a data subject said is gone from this space: keys were destroyed, memories and facts lost their words.

    An erasure of many memories is several events. Nothing brings back what one of them names.
    """

    event_type: ClassVar[str] = "subject.erased.v1"

    subject: Name
    memory_ids: Annotated[tuple[Uuid, ...], Meta(max_length=1000)] = ()
    fact_ids: Annotated[tuple[Uuid, ...], Meta(max_length=1000)] = ()
    """Facts that were distilled from their words."""
    keys: Annotated[tuple[Uuid, ...], Meta(max_length=1000)] = ()
    """Ids of the destroyed keys."""


class SettingsApplied(EventData, frozen=True, kw_only=True):
    """From this offset on, the records of this partition are folded with these settings."""

    event_type: ClassVar[str] = "settings.applied.v1"

    settings: Settings


class RecordDeadLettered(EventData, frozen=True, kw_only=True):
    """A record could not be processed and was put aside with its bytes and the reason."""

    event_type: ClassVar[str] = "record.dead-lettered.v1"

    group: Name
    """The processor that could not take it."""
    topic: Name
    partition: Count
    generation: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    offset: Offset
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    """What is wrong with it, without its content."""
    field: str | None = None
    """The field at fault, as a path such as `data.text`, or None where it is the record as a whole."""
    key_base64: str
    value_base64: str


class SegmentRoot(Struct, frozen=True, kw_only=True):
    """A run of records in an archive and the Merkle root over them."""

    begin: Offset
    """Offset of its first record."""
    end: Offset
    """Offset after its last record."""
    records: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    root: Sha256
    """Merkle tree hash of its records (RFC 6962, section 2.1)."""


class CheckpointSigned(EventData, frozen=True, kw_only=True):
    """An archiver vouched with its signature for what one partition of the log held up to here."""

    event_type: ClassVar[str] = "checkpoint.signed.v1"

    archive_id: Uuid
    """Which archive's chains these are; it goes into the beginning of each chain."""
    number: Count
    """Counts the checkpoints of this archive from 0, over all partitions."""
    previous: Sha256
    """Hash of the checkpoint numbered one less; 64 zeros in the first one."""
    topic: Name
    generation: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    partition: Count
    begin: Offset
    """Offset from which on this checkpoint vouches: where the one before it of this partition ended."""
    end: Offset
    """Offset up to which it vouches (exclusive)."""
    chain_begin: Offset
    """Offset of the first record of the partition's chain."""
    chain_head: Sha256
    """Head of the partition's chain after its last record before `end`."""
    segments: Annotated[tuple[SegmentRoot, ...], Meta(min_length=1, max_length=1000)]
    """The segments between `begin` and `end`, in order."""
    signed_at: Milliseconds
    public_key: PublicKey
    signature: Signature
    """Over all other fields; docs/audit.md says how they are written for it."""


class ModelAnswered(EventData, frozen=True, kw_only=True):
    """A model was asked and answered; the answer is kept, so that nobody has to ask again."""

    event_type: ClassVar[str] = "model.answered.v1"

    kind: Literal["embedding", "distillation"]
    model: Name
    """Name of what was asked, such as an embedder's."""
    version: Name | None = None
    """What the service called the model that answered, where it said so."""
    prompt_hash: Sha256 | None = None
    """SHA-256 of the instructions that went with the input, or None where a model takes none."""
    input_hash: Sha256
    """SHA-256 of the input in UTF-8."""
    answer: Annotated[str, Meta(min_length=1, max_length=900_000)]
    """An embedding: its numbers as little-endian 32-bit floats in base64. Anything else: as it came."""
    tenant: Name | UnsetType = UNSET
    """On whose account it was asked, where somebody has to pay for it."""
    tokens_in: Count | UnsetType = UNSET
    """Tokens of instructions and input, as the service counts them."""
    tokens_out: Count | UnsetType = UNSET
    """Tokens of the answer, as the service counts them."""


class SpaceAccessed(EventData, frozen=True, kw_only=True):
    """Somebody looked at a space, changed it or was refused; a recall that is recorded says so by itself."""

    event_type: ClassVar[str] = "space.accessed.v1"

    caller: Name
    """The id of the key that was shown, which opens nothing; `owner` for the owner of the home."""
    endpoint: Name
    """What was asked: method and path template, or the command with which the owner changed something."""
    status: Annotated[int, Meta(ge=100, le=599)]
    """Of the answer; 200 of a command."""
    item: Uuid | UnsetType = UNSET
    """The memory or the fact that was asked for, where it was one."""


class KeyChanged(EventData, frozen=True, kw_only=True):
    """An API key was made or revoked."""

    event_type: ClassVar[str] = "key.changed.v1"

    key: Name
    """Its id, which opens nothing."""
    change: Literal["added", "revoked"]
    tenant: Name
    spaces: Annotated[tuple[Name, ...], Meta(max_length=1000)]
    """Patterns for the spaces of the tenant that it opens."""
    rights: Annotated[tuple[Name, ...], Meta(max_length=64)]


Wordy = ConversationMessage | MemoryRecalled | KnowledgeDistilled
"""Events that carry words, which may be sealed."""


def subjects_of(message: ConversationMessage) -> tuple[str, ...]:
    """Return whose words a message is: whom it names, else a user's own; an agent speaks to everyone in the space."""
    if message.data_subjects is not UNSET:
        return message.data_subjects
    return (message.speaker,) if message.role == "user" else (EVERYONE,)


EVENT_TYPES: dict[str, type[EventData]] = {
    data_type.event_type: data_type
    for data_type in (
        ConversationMessage,
        MemoryRecalled,
        MemoryReinforced,
        HubFormed,
        KnowledgeDistilled,
        KnowledgeRetracted,
        MemoryForgotten,
        MemoryRestored,
        SubjectErased,
        SettingsApplied,
        RecordDeadLettered,
        CheckpointSigned,
        ModelAnswered,
        SpaceAccessed,
        KeyChanged,
    )
}
"""Every event type that this version writes, by type string."""
