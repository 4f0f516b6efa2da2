"""JSON Web Tokens before accept."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from asgiref.sync import SyncToAsync
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.db import connection
from django.http import QueryDict
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from jwt.warnings import InsecureKeyLengthWarning

from bolt_ws import DeclarationError, WebSocket
from bolt_ws.auth import AllowAny, AuthenticationFailed, JWTAuthentication
from tests.support import Application, Connection, make_token, serve, status, talk

OTHER_KEY = "another key than the one in the settings, and long enough for all of them"


async def whoami(websocket: WebSocket) -> None:
    """Say who is there."""
    await websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def guarded(**options: Any) -> Application:
    return serve(whoami, auth=[JWTAuthentication(**options)])


async def entered(token: str | bytes, **options: Any) -> bool:
    """Whether `?token=` lets in."""
    query = b"token=" + (token if isinstance(token, bytes) else token.encode())
    answer = await status(guarded(**options), query=query)
    assert answer in (101, 401)
    return answer == 101


def encode_part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(payload: bytes, key: str | None = None) -> str:
    """A token with a good signature over any payload, which PyJWT would not make."""
    return jwt.api_jws.encode(payload, key or settings.SECRET_KEY, algorithm="HS256")


def sign_parts(header: bytes, payload: bytes) -> str:
    """The same, with any header too."""
    signed = f"{encode_part(header)}.{encode_part(payload)}"
    digest = hmac.new(settings.SECRET_KEY.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode_part(digest)}"


def typed(typ: Any) -> str:
    header = json.dumps({"alg": "HS256", "typ": typ}).encode()
    return sign_parts(header, b'{"sub":"1","exp":9999999999}')


def detached() -> str:
    return jwt.api_jws.encode(
        b'{"sub":"1","exp":9999999999}', settings.SECRET_KEY, "HS256", is_payload_detached=True
    )


async def test_a_good_token() -> None:
    sent = await talk(guarded(), query=f"token={make_token()}")
    assert sent[1]["text"] == '["7","JWTAuthentication"]'


async def test_the_context_of_a_token() -> None:
    seen: dict[str, Any] = {}

    async def handler(websocket: WebSocket) -> None:
        seen.update(websocket.context)

    token = make_token(
        is_staff=True, is_superuser=True, permissions=["chat.view", 3, "chat.add"], room="lobby"
    )
    await talk(serve(handler, auth=[JWTAuthentication()]), query=f"token={token}")
    claims = seen.pop("claims")
    assert seen == {
        "user_id": "7",
        "is_staff": True,
        "is_superuser": True,
        "permissions": frozenset({"chat.view", "chat.add"}),
        "auth_backend": "JWTAuthentication",
    }
    assert claims["room"] == "lobby"


@pytest.mark.parametrize("value", [1, "true", "false", [], {}, None])
async def test_nobody_is_staff_but_by_true(value: Any) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        seen.extend([websocket.context.is_staff, websocket.context.is_superuser])

    token = make_token(is_staff=value, is_superuser=value)
    await talk(serve(handler, auth=[JWTAuthentication()]), query=f"token={token}")
    assert seen == [False, False]


@pytest.mark.parametrize("permissions", ["chat.view", 3, {"chat.view": True}, True])
async def test_permissions_that_are_no_list(permissions: Any) -> None:
    assert not await entered(make_token(permissions=permissions))


async def test_no_token_is_401() -> None:
    assert await status(guarded()) == 401


async def test_no_token_is_anonymous_where_anybody_may_come() -> None:
    application = serve(whoami, auth=[JWTAuthentication()], guards=[AllowAny()])
    assert (await talk(application))[1]["text"] == "[null,null]"


BAD_TOKENS = {
    "empty": lambda: "",
    "no token": lambda: "abc",
    "two parts": lambda: "a.b",
    "four parts": lambda: make_token() + ".a",
    "not base64": lambda: "!!!.???.***",
    "not ascii": lambda: "é.é.é",
    "expired": lambda: make_token(exp=int(time.time()) - 1),
    "expired long ago": lambda: make_token(exp=0),
    "expired before time": lambda: make_token(exp=-1),
    "wrong signature": lambda: make_token(OTHER_KEY),
    "no signature": lambda: make_token().rpartition(".")[0] + ".",
    "changed signature": lambda: make_token()[:-4] + "AAAA",
    "changed payload": lambda: ".".join(
        [
            make_token().split(".")[0],
            encode_part({"sub": "1", "exp": time.time() + 60}),
            make_token().split(".")[2],
        ]
    ),
    "algorithm none": lambda: make_token("", "none"),
    "algorithm None": lambda: (
        f"{encode_part({'alg': 'None', 'typ': 'JWT'})}.{make_token().split('.')[1]}."
    ),
    "foreign algorithm": lambda: make_token(algorithm="HS512"),
    "no algorithm": lambda: f"{encode_part({})}.{make_token().split('.')[1]}.AAAA",
    "algorithm is a list": lambda: (
        f"{encode_part({'alg': ['HS256']})}.{make_token().split('.')[1]}.AAAA"
    ),
    "header is no object": lambda: f"{encode_part([])}.{make_token().split('.')[1]}.AAAA",
    "header is no json": lambda: f"{encode_part(b'{')}.{make_token().split('.')[1]}.AAAA",
    "unknown crit": lambda: jwt.encode(
        {"sub": "1", "exp": time.time() + 60},
        settings.SECRET_KEY,
        headers={"crit": ["exp"], "exp": 1},
    ),
    "critical b64, which PyJWT knows": lambda: sign_parts(
        b'{"alg":"HS256","crit":["b64"],"b64":true}', b'{"sub":"1","exp":9999999999}'
    ),
    "b64 alone": lambda: sign_parts(b'{"alg":"HS256","b64":true}', b'{"sub":"1","exp":9999999999}'),
    "detached payload": lambda: detached(),
    "a member twice in the header": lambda: sign_parts(
        b'{"alg":"none","alg":"HS256"}', b'{"sub":"1","exp":9999999999}'
    ),
    "a token of another type": lambda: typed("logout+jwt"),
    "a type that is no text": lambda: typed(["JWT"]),
    "a key ID that is no text": lambda: sign_parts(
        b'{"alg":"HS256","kid":1}', b'{"sub":"1","exp":9999999999}'
    ),
    "a key ID that is null": lambda: sign_parts(
        b'{"alg":"HS256","kid":null}', b'{"sub":"1","exp":9999999999}'
    ),
    "a token in a token": lambda: sign(make_token().encode()),
    "a JSON text in a token": lambda: sign(json.dumps(make_token()).encode()),
    "signed by the key that it brings along": lambda: jwt.encode(
        {"sub": "1", "exp": time.time() + 60},
        OTHER_KEY,
        headers={"jwk": {"kty": "oct", "k": encode_part(OTHER_KEY.encode())}, "jku": "https://x/"},
    ),
    "a claim twice": lambda: sign(b'{"sub":"1","sub":"2","exp":9999999999}'),
    "a claim's member twice": lambda: sign(b'{"sub":"1","exp":9999999999,"a":[{"b":1,"b":2}]}'),
    "NaN in some claim": lambda: sign(b'{"sub":"1","exp":9999999999,"a":NaN}'),
    "a byte order mark": lambda: sign(b'\xef\xbb\xbf{"sub":"1","exp":9999999999}'),
    "a payload in UTF-16": lambda: sign('{"sub":"1","exp":9999999999}'.encode("utf-16")),
    "exp has 400 digits": lambda: sign(b'{"sub":"1","exp":' + b"9" * 400 + b"}"),
    "iat is text": lambda: sign(b'{"sub":"1","exp":9999999999,"iat":"1"}'),
    "nbf is true": lambda: sign(b'{"sub":"1","exp":9999999999,"nbf":true}'),
    "sub has a line break": lambda: make_token(sub="1\n2"),
    "sub has a NUL": lambda: make_token(sub="1\x00"),
    "sub has half a surrogate": lambda: sign(b'{"sub":"\\ud800","exp":9999999999}'),
    "a refresh token": lambda: make_token(token_type="refresh"),
    "a token type that is null": lambda: sign(b'{"sub":"1","exp":9999999999,"token_type":null}'),
    "payload is a list": lambda: sign(b"[]"),
    "payload is no json": lambda: sign(b"{"),
    "payload is no utf-8": lambda: sign(b'{"sub":"\xff","exp":9999999999}'),
    "payload is nested deeply": lambda: sign(b"[" * 5000),
    "no exp": lambda: make_token(exp=None),
    "exp is null": lambda: sign(b'{"sub":"1","exp":null}'),
    "exp is text": lambda: sign(b'{"sub":"1","exp":"9999999999"}'),
    "exp is true": lambda: sign(b'{"sub":"1","exp":true}'),
    "exp is a list": lambda: sign(b'{"sub":"1","exp":[9999999999]}'),
    "exp is NaN": lambda: sign(b'{"sub":"1","exp":NaN}'),
    "exp is infinite": lambda: sign(b'{"sub":"1","exp":Infinity}'),
    "exp is 1e999": lambda: sign(b'{"sub":"1","exp":1e999}'),
    "exp has 5000 digits": lambda: sign(b'{"sub":"1","exp":' + b"9" * 5000 + b"}"),
    "not yet valid": lambda: make_token(nbf=int(time.time()) + 60),
    "issued tomorrow": lambda: make_token(iat=int(time.time()) + 86400),
    "no sub": lambda: make_token(sub=None),
    "sub is empty": lambda: make_token(sub=""),
    "sub is null": lambda: sign(b'{"sub":null,"exp":9999999999}'),
    "sub is a number": lambda: sign(b'{"sub":1,"exp":9999999999}'),
    "sub is true": lambda: sign(b'{"sub":true,"exp":9999999999}'),
    "sub is a list": lambda: sign(b'{"sub":["1"],"exp":9999999999}'),
    "an audience": lambda: make_token(aud="elsewhere"),
    "too long": lambda: make_token(padding="a" * 8192),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_is_refused(kind: str) -> None:
    application = serve(whoami, auth=[JWTAuthentication()], guards=[AllowAny()])
    assert await status(application, query=b"token=" + BAD_TOKENS[kind]().encode()) == 401


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_tells_and_logs_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = BAD_TOKENS[kind]()
    connection = Connection(guarded(), query=b"token=" + token.encode(), deny=True)
    with caplog.at_level(logging.DEBUG):
        start, body = await connection.end()
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    answer = json.loads(body["body"])
    assert answer["detail"] in ("Invalid token", "Token expired", "Token too long")
    assert [record for record in caplog.records if record.exc_info] == []
    if len(token) > 3:
        assert token not in caplog.text


async def test_an_expired_token_says_so() -> None:
    sent = await Connection(guarded(), query=f"token={make_token(exp=1)}", deny=True).end()
    assert json.loads(sent[1]["body"]) == {"detail": "Token expired", "code": "token_expired"}


async def test_a_token_of_8_kib_is_read_and_one_more_is_not() -> None:
    length = len(make_token(padding=""))
    while len(token := make_token(padding="a" * (8192 - length))) != 8192:
        length += 1 if len(token) > 8192 else -1
        if len(token) in (8191, 8193):
            break
    assert await entered(token) is (len(token) <= 8192)
    assert not await entered(token + "a" * (8193 - len(token)))


async def test_two_tokens_are_refused() -> None:
    token = make_token()
    assert await status(guarded(), query=f"token={token}&token={token}") == 401
    assert await status(guarded(), query=f"token={token}&%74oken={token}") == 401


async def test_rsa_and_a_shared_key_are_not_confused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    options = {"key": public, "algorithms": ["RS256"]}
    assert await entered(make_token(private, "RS256"), **options)
    signed = f"{encode_part({'alg': 'HS256'})}.{encode_part({'sub': '1', 'exp': 9999999999})}"
    digest = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    assert not await entered(f"{signed}.{encode_part(digest)}", **options)


# Options


@pytest.mark.parametrize(
    ("audience", "claim", "expected"),
    [
        ("chat", "chat", True),
        ("chat", ["other", "chat"], True),
        (["chat", "news"], "news", True),
        ("chat", "other", False),
        ("chat", None, False),
        ("chat", "chatter", False),
        (None, "chat", False),
    ],
)
async def test_audience(audience: Any, claim: Any, expected: bool) -> None:
    assert await entered(make_token(aud=claim), audience=audience) is expected


@pytest.mark.parametrize(
    ("issuer", "claim", "expected"),
    [
        ("us", "us", True),
        (["us", "them"], "them", True),
        ("us", "them", False),
        ("us", "u", False),
        ("us", None, False),
        (None, "us", True),
    ],
)
async def test_issuer(issuer: Any, claim: Any, expected: bool) -> None:
    assert await entered(make_token(iss=claim), issuer=issuer) is expected


async def test_leeway() -> None:
    token = make_token(exp=int(time.time()) - 5)
    assert not await entered(token)
    assert not await entered(token, leeway=1)
    assert await entered(token, leeway=30)


@pytest.mark.parametrize(("value", "user_id"), [("alice", "alice"), (5, "5"), (0, "0")])
async def test_the_claim_of_the_user_is_text_in_the_context(value: Any, user_id: str) -> None:
    token = make_token(sub=None, uid=value)
    sent = await talk(guarded(user_id_claim="uid"), query=f"token={token}")
    assert json.loads(sent[1]["text"])[0] == user_id


@pytest.mark.parametrize("value", [None, "", True, 1.5, ["a"], {}])
async def test_a_claim_that_names_no_user(value: Any) -> None:
    assert not await entered(make_token(uid=value), user_id_claim="uid")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+JWT", "application/jwt"])
async def test_a_type_that_an_access_token_may_have(typ: str) -> None:
    assert await entered(typed(typ))


async def test_what_a_header_says_of_keys_is_not_read() -> None:
    headers = {"kid": "x", "jku": "https://evil.example/", "x5u": "https://evil.example/"}
    claims = {"sub": "1", "exp": time.time() + 60}
    assert await entered(jwt.encode(claims, settings.SECRET_KEY, headers=headers))


@pytest.mark.parametrize(
    ("token_type", "claim", "expected"),
    [
        (None, None, True),
        (None, "access", True),
        (None, "Access", False),
        (None, "sliding", False),
        (None, "", False),
        (None, ["access"], False),
        ("access", "access", True),
        ("access", None, False),
        ("access", "refresh", False),
        ("sliding", "sliding", True),
        ("sliding", "access", False),
    ],
)
async def test_token_type(token_type: Any, claim: Any, expected: bool) -> None:
    assert await entered(make_token(token_type=claim), token_type=token_type) is expected


async def test_required_claims() -> None:
    required = {"required_claims": ["jti", "room"]}
    assert await entered(make_token(jti="1", room=0), **required)
    assert not await entered(make_token(jti="1"), **required)
    assert not await entered(
        sign(b'{"sub":"1","exp":9999999999,"jti":"1","room":null}'), **required
    )


@pytest.mark.parametrize("leeway", [0, 30])
async def test_the_identity_expires_with_the_token(leeway: float) -> None:
    exp = int(time.time()) + 60
    identity = await JWTAuthentication(leeway=leeway).authenticate_token(make_token(exp=exp))
    assert identity.expires_at == exp + leeway
    assert isinstance(identity.expires_at, float)
    assert not identity.is_ambient


@pytest.mark.parametrize("token", [None, 7, b"a.b.c", ["a"], {}])
async def test_what_is_no_text_is_no_token(token: Any) -> None:
    with pytest.raises(AuthenticationFailed):
        await JWTAuthentication().authenticate_token(token)


async def test_a_connect_costs_no_thread_and_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a thread hop")

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    # Outside of pytest-django's marks, a query is an error too.
    monkeypatch.setattr(SyncToAsync, "__call__", fail)
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", fail)
    monkeypatch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", fail)
    application = serve(handler, auth=[JWTAuthentication()])
    assert await status(application, query=f"token={make_token()}") == 101
    header = [(b"authorization", f"Bearer {make_token()}".encode())]
    assert await status(application, headers=header) == 101


def test_a_connect_with_a_database_that_is_forbidden() -> None:
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        connection.ensure_connection()


async def test_a_key_that_is_too_short_verifies_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(InsecureKeyLengthWarning):
        token = make_token("short")
    assert await status(guarded(key="short"), query=f"token={token}") == 500
    assert "InvalidKeyError: The HMAC key is 5 bytes long" in caplog.text


async def test_a_key_of_its_own() -> None:
    assert await entered(make_token(OTHER_KEY), key=OTHER_KEY)
    assert not await entered(make_token(), key=OTHER_KEY)


async def test_the_key_of_the_settings() -> None:
    application = guarded()  # made before the setting: read when a token comes
    with override_settings(BOLT_WS={"JWT_KEY": OTHER_KEY}):
        assert await status(application, query=f"token={make_token(OTHER_KEY)}") == 101
        assert await status(application, query=f"token={make_token()}") == 401
    assert await status(application, query=f"token={make_token()}") == 101
    with override_settings(SECRET_KEY=OTHER_KEY):
        assert await status(application, query=f"token={make_token(OTHER_KEY)}") == 101


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithms": []}, "algorithms must be a list"),
        ({"algorithms": "HS256"}, "algorithms must be a list"),
        ({"algorithms": ["none"]}, "unknown algorithm 'none'"),
        ({"algorithms": ["HS256", "XX"]}, "unknown algorithm 'XX'"),
        ({"algorithms": ["HS256", ["HS384"]]}, "unknown algorithm"),
        ({"algorithms": {"HS256"}}, "algorithms must be a list"),
        ({"algorithms": ["HS256", "RS256"]}, "of RSA and a shared key"),
        ({"algorithms": ["RS256", "ES256"]}, "of EC and RSA"),
        ({"algorithms": ["PS256", "EdDSA"]}, "of EdDSA and RSA"),
        ({"key": ""}, "the key is empty"),
        ({"key": 7}, "the key cannot verify HS256: expected a shared key"),
        ({"key": '{"kty": "oct", "k": "AAAA"}'}, "the key cannot verify HS256"),
        ({"user_id_claim": ""}, "user_id_claim must be text"),
        ({"audience": []}, "audience must be text or a list of texts"),
        ({"audience": ["a", 1]}, "audience must be text or a list of texts"),
        ({"issuer": ""}, "issuer must be text or a list of texts"),
        ({"leeway": -1}, "leeway must be seconds"),
        ({"leeway": float("nan")}, "leeway must be seconds"),
        ({"leeway": float("inf")}, "leeway must be seconds"),
        ({"leeway": True}, "leeway must be seconds"),
        ({"required_claims": "jti"}, "required_claims must be a list"),
        ({"required_claims": [""]}, "required_claims: a name must be text"),
        ({"token_type": ""}, "token_type must be text"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        JWTAuthentication(**options)


def test_repr_does_not_show_the_key() -> None:
    assert repr(JWTAuthentication(key=OTHER_KEY)) == "<JWTAuthentication>"


def test_a_required_parameter_named_token_can_never_be_filled() -> None:
    async def handler(websocket: WebSocket, token: str) -> None: ...

    with pytest.raises(DeclarationError, match=r"'token': can never be filled"):
        serve(handler, auth=[JWTAuthentication()])
    serve(handler)


async def test_a_parameter_named_token_gets_its_default() -> None:
    async def handler(websocket: WebSocket, token: str = "gone") -> None:
        await websocket.send_text(token)

    application = serve(handler, auth=[JWTAuthentication()])
    assert (await talk(application, query=f"token={make_token()}"))[1]["text"] == "gone"


# The Authorization header


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("space", [" ", "   "])
async def test_the_header(scheme: str, space: str) -> None:
    header = f"{scheme}{space}{make_token()}".encode()
    assert await status(guarded(), headers=[(b"authorization", header)]) == 101


@pytest.mark.parametrize(
    "header", [b"", b"Basic YTpi", b"Token abc", b"Bearertoken", b"Bearer", b"Bearer ", b"Bearer x"]
)
async def test_a_header_that_lets_nobody_in(header: bytes) -> None:
    assert await status(guarded(), headers=[(b"authorization", header)]) == 401


async def test_a_header_of_another_scheme_is_no_credential_of_ours() -> None:
    application = serve(whoami, auth=[JWTAuthentication()], guards=[AllowAny()])
    assert await status(application, headers=[(b"authorization", b"Basic YTpi")]) == 101


@pytest.mark.parametrize("header", [b"Bearer", b"Bearer x"])
async def test_a_bad_header_is_refused_where_anybody_may_come(header: bytes) -> None:
    application = serve(whoami, auth=[JWTAuthentication()], guards=[AllowAny()])
    assert await status(application, headers=[(b"authorization", header)]) == 401


async def test_a_token_in_the_query_and_one_in_the_header_are_two() -> None:
    token = make_token()
    header = [(b"authorization", f"Bearer {token}".encode())]
    assert await status(guarded(), query=f"token={token}", headers=header) == 401
    assert await status(guarded(), query="token=", headers=header) == 401
    assert await status(guarded(), headers=header) == 101


async def test_two_headers_are_refused() -> None:
    header = (b"authorization", f"Bearer {make_token()}".encode())
    assert await status(guarded(), headers=[header, header]) == 401


# The token is gone


@pytest.mark.parametrize("name", ["token", "%74oken", "toke%6E", "%74%6f%6b%65%6e"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b"a=1&", b""),
        (b"", b"&a=1"),
        (b"a=%C3%A9+x&b&", b"&c=%2f&=&tokens=2&Token=3"),
        (b"&&a=\xff&", b"&&"),
    ],
)
async def test_the_token_is_gone_and_all_else_stays(name: str, before: bytes, after: bytes) -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket, token: str = "") -> None:
        seen.extend([websocket.scope["query_string"], dict(websocket.query_params.lists())])
        seen.append(f"{websocket.url} {websocket!r} {websocket.scope} {token}")

    value = make_token()
    query = before + f"{name}={value}".encode() + after
    await talk(serve(handler, auth=[JWTAuthentication()]), query=query)
    raw, params, shown = seen
    expected = b"&".join([*before.split(b"&")[:-1], *after.split(b"&")[1:]])
    assert raw == expected
    assert params == dict(QueryDict(expected).lists())
    assert value not in shown
    assert value.rpartition(".")[2] not in shown


@pytest.mark.parametrize("token", [make_token, lambda: make_token(exp=1), lambda: "a" * 40])
@pytest.mark.parametrize("fails", [True, False])
async def test_the_token_is_in_no_log_record(
    token: Any, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(websocket: WebSocket, n: int = 0) -> None:
        if fails:
            raise LookupError(f"{websocket} {websocket.url} {websocket.scope}")

    value = token()
    application = serve(handler, auth=[JWTAuthentication()], guards=[AllowAny()])
    with caplog.at_level(logging.DEBUG):
        try:
            await talk(application, query=f"token={value}")
            await talk(application, query=f"token={value}&n=x")
            await talk(application, "/unknown", query=f"token={value}")
        except LookupError as error:
            assert value not in str(error)  # noqa: PT017
    assert caplog.records
    assert value not in caplog.text
    assert all(value not in repr(vars(record)) for record in caplog.records)


async def test_the_outer_scope_of_a_router_keeps_what_it_had() -> None:
    query = f"token={make_token()}"
    connection = Connection(guarded(), query=query)
    connection.leave()
    await connection.end()
    assert connection.scope["query_string"] == query.encode()


# Any text at all


TOKENS = (
    st.text()
    | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True)
    | st.binary().map(sign)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: sign(json.dumps(value).encode()))
    | st.fixed_dictionaries(
        {},
        optional={
            name: st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.text())
            for name in ("sub", "exp", "nbf", "iat", "aud", "iss", "jti", "permissions")
        },
    ).map(lambda claims: sign(json.dumps(claims).encode()))
    | st.dictionaries(
        st.sampled_from(["alg", "typ", "crit", "b64", "kid", "jwk", "zip"]),
        st.none() | st.booleans() | st.text() | st.lists(st.text()) | st.just("HS256"),
    ).map(lambda header: f"{encode_part(header)}.{encode_part({'sub': '1'})}.AAAA")
)


@given(TOKENS)
def test_nothing_but_authentication_failed_leaves_decode(token: str) -> None:
    try:
        claims = JWTAuthentication().decode(token)
    except AuthenticationFailed:
        return
    assert type(claims["exp"]) in (int, float)
    assert claims["exp"] > time.time() - 60


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"token", b"%74oken", b"a", b"", b"Token", b"token%20"]), st.binary()
        ),
        max_size=6,
    ),
    st.sampled_from([b"=", b"", b"=="]),
)
def test_no_spelling_of_a_query_keeps_the_token(
    parts: list[tuple[bytes, bytes]], sign: bytes
) -> None:
    async def unused(*args: object) -> Any:
        raise AssertionError

    query = b"&".join(name + sign + value for name, value in parts)
    scope = {"type": "websocket", "path": "/", "query_string": query, "headers": []}
    websocket = WebSocket(scope, unused, unused)
    sent = QueryDict(query).getlist("token")
    assert websocket.take_query_param("token") == sent
    assert "token" not in websocket.query_params
    assert websocket.take_query_param("token") == []
    if not sent:
        assert scope["query_string"] == query


@pytest.mark.parametrize(("levels", "is_good"), [(15, True), (16, False), (2000, False)])
def test_how_deep_a_claim_may_be(levels: int, is_good: bool) -> None:
    payload = f'{{"sub":"7","exp":{int(time.time()) + 60},"n":{"[" * levels}{"]" * levels}}}'
    token = jwt.api_jws.encode(payload.encode(), settings.SECRET_KEY, algorithm="HS256")
    if is_good:
        assert JWTAuthentication().decode(token)["sub"] == "7"
    else:
        with pytest.raises(AuthenticationFailed, match="Invalid token"):
            JWTAuthentication().decode(token)
