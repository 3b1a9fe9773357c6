"""Bearer tokens of an issuer that really signs and really serves its keys over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from helamem.schemas.errors import ConfigurationError, HelamemError
from helamem.schemas.topics import ACCESS
from helamem.streams.access.reading import accesses
from helamem.streams.gateway import oidc_keys
from helamem.streams.gateway.oidc import Oidc, claim, words
from helamem.streams.gateway.oidc_settings import OidcSettings
from helamem.streams.gateway.problems import Problem, problem_of
from streams.gateway.asking import SPACE, Gateway, said

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Return a key that is made once for all tests."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """An OpenID Connect issuer on this machine."""

    def __init__(self) -> None:
        self.published: dict[str, Key] = {"first": rsa_key("first")}
        self.asked = 0
        self.away = False
        self.name: str | None = None
        self.dripping = threading.Event()
        """As long as it is set, answers consist of blanks that come one by one."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = issuer.answer(self.path)
                self.send_response(503 if issuer.away or body is None else 200)
                self.end_headers()
                with suppress(OSError):  # who asked is gone
                    while issuer.dripping.is_set():
                        self.wfile.write(b" ")
                        time.sleep(0.01)
                    self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, path: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.name or self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [jwk(key, id_) for id_, key in self.published.items()]} if path == "/keys" else None

    def token(
        self, *, key: Key | str | None = None, alg: str = "RS256", kid: str | None = "first", **claims: Any
    ) -> str:
        """Return a token that says all that is needed, but for what is named; None leaves a claim out."""
        said = {
            "iss": self.url,
            "aud": "helamem",
            "sub": "mira@acme.example",
            "exp": time.time() + 60,
            "tenant": "acme",
            "scope": "openid helamem:append helamem:recall",
            **claims,
        }
        headers = {} if kid is None else {"kid": kid}
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, key or rsa_key("first"), algorithm=alg, headers=headers)


def jwk(key: Key, id_: str) -> dict[str, Any]:
    public = key.public_key()
    made = (
        RSAAlgorithm.to_jwk(public, as_dict=True)
        if isinstance(public, rsa.RSAPublicKey)
        else ECAlgorithm.to_jwk(public, as_dict=True)
    )
    return {**made, "kid": id_, "use": "sig"}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.dripping.clear()
    issuer.server.shutdown()
    issuer.server.server_close()
    issuer.thread.join()


@pytest.fixture
def trusting(gateway: Gateway, issuer: Issuer) -> Gateway:
    """A gateway that takes the issuer's tokens."""
    trust(gateway, issuer)
    return gateway


def trust(gateway: Gateway, issuer: Issuer, **settings: Any) -> None:
    gateway.service.oidc = Oidc(OidcSettings(**{"issuer": issuer.url, "audience": "helamem", **settings}))
    gateway.service.open_door = False


def oidc_of(issuer: Issuer, **settings: Any) -> Oidc:
    return Oidc(OidcSettings(**{"issuer": issuer.url, "audience": "helamem", **settings}))


async def asked(oidc: Oidc, token: str) -> tuple[int, str]:
    """Return what a gateway would answer to a token, and why."""
    try:
        await oidc.token(token)
    except Problem as problem:
        return problem.status, problem.detail
    except HelamemError as error:
        return problem_of(error).status, str(error)
    return 200, ""


async def test_a_token_opens_what_its_claims_say(trusting: Gateway, issuer: Issuer) -> None:
    """Tenant and rights; keys count besides, and without either the door is closed."""
    client = trusting.client_of(issuer.token())
    assert (await client.post(f"{SPACE}/messages", json=said())).status_code == 201
    assert (await client.get(f"{SPACE}/facts")).status_code == 200
    assert (await client.get("/v1/spaces/other/mira/facts")).status_code == 403
    refused = await client.get(f"{SPACE}/diff")
    assert refused.status_code == 403
    assert "the token shown has append, recall; its issuer grants them" in refused.json()["detail"]
    assert (await trusting.get("/v1/spaces")).status_code == 401
    assert (await trusting.client_of(trusting.key()).get("/v1/spaces")).status_code == 200
    assert issuer.asked == 2  # where its keys are, and the keys
    assert trusting.service.oidc is not None
    token = await trusting.service.oidc.token(issuer.token())  # what goes on for long ends with it
    assert trusting.service.holds(token)
    assert not trusting.service.holds(msgspec.structs.replace(token, until_s=time.time()))


async def test_its_holder_is_named_in_records(trusting: Gateway, issuer: Issuer) -> None:
    await trusting.client_of(issuer.token()).get(f"{SPACE}/facts")
    await trusting.client_of(issuer.token()).post(f"{SPACE}/recall", json={"query": "Who?"})
    await trusting.service.trail.flush()
    found = await accesses(trusting.memory.instance.log, most=9)
    assert [one.caller for one in found] == ["token:mira@acme.example"] * 2
    assert await trusting.records(ACCESS.name) == 1


async def test_claims_are_read_as_configured(issuer: Issuer) -> None:
    """Within others, as lists, with another prefix, and with patterns for spaces."""
    oidc = oidc_of(
        issuer,
        tenant_claim="https://acme.example/tenant",
        spaces_claim="memory.spaces",
        rights_claim="realm_access.roles",
        rights_prefix="memory-",
        algorithms=("ES256",),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    issuer.published = {"curve": key}
    claims = {
        "https://acme.example/tenant": "acme",
        "memory": {"spaces": ["mira", "team-*", "a/b"]},
        "realm_access": {"roles": ["memory-recall", "append", "memory-everything"]},
    }
    found = await oidc.token(issuer.token(key=key, alg="ES256", kid="curve", **claims))
    assert (found.tenant, found.spaces, found.rights) == ("acme", ("mira", "team-*"), ("recall",))
    assert [found.covers(f"acme/{name}") for name in ("mira", "team-1", "tom")] == [True, True, False]
    assert not found.covers("other/mira")
    nowhere = await oidc.token(issuer.token(key=key, alg="ES256", kid="curve", **{**claims, "memory": None}))
    assert not nowhere.covers("acme/mira")


def test_words_and_paths_of_claims() -> None:
    assert [words(value) for value in ("a  b", ["a", 1, "b"], 7, None, {"a": 1})] == [
        ("a", "b"),
        ("a", "b"),
        (),
        (),
        (),
    ]
    claims = {"a.b": 1, "a": {"b": 2, "c": {"d": 3}}}
    assert [claim(claims, name) for name in ("a.b", "a.c.d", "a.x", "a.c.d.e", "x")] == [1, 3, None, None, None]


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": time.time() - 3600}, "it expired at 20"),
        ({"exp": None}, "lacks one of the claims"),
        ({"exp": "soon"}, "`exp` is no time"),
        ({"exp": 1e300}, "`exp` is no time"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"iat": time.time() + 3600}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "lacks one of the claims"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"tenant": None}, "`tenant` names no tenant"),
        ({"tenant": "a/b"}, "`tenant` names no tenant"),
        ({"tenant": ["acme"]}, "`tenant` names no tenant"),
        ({"sub": ""}, "`sub` is no name"),
        ({"sub": "x" * 251}, "`sub` is no name"),
        ({"sub": "\ud800"}, "half of a surrogate pair"),
        ({"kid": "unknown"}, "by a key that"),
        ({"key": rsa_key("another")}, "its signature is wrong"),
        ({"alg": "RS512"}, "another algorithm than RS256, ES256"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_a_token_that_does_not_count_is_refused(issuer: Issuer, claims: dict[str, Any], why: str) -> None:
    """401, with what is wrong."""
    status, told = await asked(oidc_of(issuer), issuer.token(**claims))
    assert status == 401
    assert why in told


async def test_a_refusal_tells_a_program_that_it_is_the_token(trusting: Gateway, issuer: Issuer) -> None:
    answer = await trusting.client_of(issuer.token(aud="another")).get("/v1/spaces")
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:helamem:problem:unauthorized")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    issuer.away = True
    trust(trusting, issuer)
    answer = await trusting.client_of(issuer.token()).get("/v1/spaces")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_algorithms_that_anybody_can_use_do_not_count(issuer: Issuer) -> None:
    """None at all, and a public key that is taken for a shared secret."""
    public = rsa_key("first").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    said = jwt.decode(issuer.token(), options={"verify_signature": False})
    unsigned = jwt.encode(said, "", algorithm="none")
    head, body, _ = unsigned.split(".")

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': 'HS256', 'kid': 'first'}).encode())}.{body}"
    forged = f"{signed}.{part(hmac.digest(pem, signed.encode(), hashlib.sha256))}"
    for token in (unsigned, forged, f"{head}.{body}.AAAA", "a.b.c", "..", "é.é.é"):
        assert (await asked(oidc_of(issuer), token))[0] == 401, token
    for algorithms in (("HS256",), ("none",), ("RS256", "HS512"), ()):
        with pytest.raises(ConfigurationError, match="HELAMEM_OIDC_ALGORITHMS"):
            Oidc(OidcSettings(issuer=issuer.url, audience="helamem", algorithms=algorithms))


async def test_clocks_may_differ_a_little(issuer: Issuer) -> None:
    oidc = oidc_of(issuer, leeway_s=30.0)
    now_s = time.time()
    assert (await asked(oidc, issuer.token(exp=now_s - 5)))[0] == 200
    assert (await asked(oidc, issuer.token(nbf=now_s + 5, iat=now_s + 5)))[0] == 200
    oidc = oidc_of(issuer, leeway_s=0.0)
    assert (await asked(oidc, issuer.token(exp=now_s - 5)))[0] == 401


async def test_keys_change(issuer: Issuer) -> None:
    """A new one is asked for when it is first seen, but not again and again; a withdrawn one counts no longer."""
    now = [1000.0]
    oidc = oidc_of(issuer)
    oidc._keys._clock = lambda: now[0]
    old, new = issuer.token(), issuer.token(key=rsa_key("another"), kid="second")
    assert (await asked(oidc, old))[0] == 200
    issuer.published["second"] = rsa_key("another")
    assert (await asked(oidc, new))[0] == 401  # it was asked just now
    now[0] += oidc_keys.PAUSE_S
    assert [(await asked(oidc, token))[0] for token in (new, old)] == [200, 200]
    before = issuer.asked
    for _ in range(5):
        assert (await asked(oidc, issuer.token(kid="made-up")))[0] == 401
    assert issuer.asked == before
    del issuer.published["first"]
    assert (await asked(oidc, old))[0] == 200
    now[0] += oidc_keys.FRESH_S
    assert [(await asked(oidc, token))[0] for token in (old, new)] == [401, 200]


async def test_an_issuer_that_is_away_is_no_fault_of_the_token(issuer: Issuer) -> None:
    """503; keys that are known count for a while, but nobody says of others that they are wrong."""
    now = [1000.0]
    oidc = oidc_of(issuer)
    oidc._keys._clock = lambda: now[0]
    issuer.away = True
    status, why = await asked(oidc, issuer.token())
    assert status == 503
    assert f"the keys of {issuer.url} cannot be fetched" in why
    issuer.away = False
    now[0] += oidc_keys.PAUSE_S
    assert (await asked(oidc, issuer.token()))[0] == 200
    issuer.away = True
    now[0] += oidc_keys.FRESH_S
    assert (await asked(oidc, issuer.token()))[0] == 200
    assert (await asked(oidc, issuer.token(kid="second")))[0] == 503
    now[0] += oidc_keys.STALE_S
    assert (await asked(oidc, issuer.token()))[0] == 503


async def test_nobody_waits_for_an_issuer_that_is_away(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose key counts is let in while it is asked once more; once it answers again, it is away no longer."""
    now = [1000.0]
    oidc = oidc_of(issuer)
    oidc._keys._clock = lambda: now[0]
    assert (await asked(oidc, issuer.token()))[0] == 200
    issuer.away = True
    now[0] += oidc_keys.FRESH_S
    assert (await asked(oidc, issuer.token()))[0] == 200
    monkeypatch.setattr(oidc_keys, "_TIMEOUT_S", 3600.0)
    issuer.away = False
    issuer.dripping.set()
    now[0] += oidc_keys.PAUSE_S
    async with asyncio.timeout(30):
        assert [(await asked(oidc, issuer.token()))[0] for _ in range(3)] == [200] * 3
        renewing = oidc._keys._beside
        assert renewing is not None
        assert not renewing.done()
        issuer.dripping.clear()
        await renewing
    del issuer.published["first"]
    now[0] += oidc_keys.FRESH_S
    assert (await asked(oidc, issuer.token()))[0] == 401


async def test_an_issuer_that_answers_slowly_is_away(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though something of its answer comes all the time."""
    monkeypatch.setattr(oidc_keys, "_TIMEOUT_S", 0.3)
    issuer.dripping.set()
    async with asyncio.timeout(30):
        status, why = await asked(oidc_of(issuer), issuer.token())
    assert status == 503
    assert f"the keys of {issuer.url} cannot be fetched" in why


async def test_an_issuer_is_who_it_says(issuer: Issuer) -> None:
    """One that calls itself otherwise is a fault of the configuration; so is one whose keys come without TLS."""
    issuer.name = "https://elsewhere.example"
    status, why = await asked(oidc_of(issuer), issuer.token())
    assert status == 500
    assert "mend HELAMEM_OIDC_ISSUER" in why
    assert (await asked(oidc_of(issuer, jwks_url=f"{issuer.url}/keys"), issuer.token(kid=None)))[0] == 200
    for settings in ({"issuer": "http://acme.example"}, {"jwks_url": "http://acme.example/keys"}, {"issuer": "acme"}):
        with pytest.raises(ConfigurationError, match="begins with https://"):
            Oidc(OidcSettings(**{"issuer": issuer.url, "audience": "helamem", **settings}))  # type: ignore[arg-type]
