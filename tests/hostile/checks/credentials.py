"""What is checked of a credential, and how to switch each check off."""

from __future__ import annotations

import json

import django.contrib.auth
import django.core.signing
import jwt as pyjwt
from django.core.cache.backends.locmem import LocMemCache
from django.core.signing import Signer, TimestampSigner
from jwt.api_jws import PyJWS

from bolt_ws.auth import jwt
from bolt_ws.upkeep import Care
from tests.hostile.switching import Check, edited, nothing, replaced


def unsigned(self: TimestampSigner, value: str, max_age: object = None) -> str:
    """Take a value of any age."""
    return Signer.unsign(self, value).rpartition(":")[0]


JWT = "bolt_ws.auth.jwt:JWTAuthentication"
DECODER = json.JSONDecoder

CHECKS = (
    # Sources
    Check(
        "one credential",
        edited("bolt_ws.auth.sources:take_credential", ("len(found) > 1", "False")),
        (
            "token, more than one: of two users",
            "token, more than one: query and header",
            "token, more than one: header twice",
            "API key: twice",
            "ticket: two",
        ),
    ),
    Check(
        "a header of two schemes",
        edited(
            "bolt_ws.auth.sources:Header.take",
            ('[each or "" for each in found]', "[each for each in found if each]"),
        ),
        ("token, more than one: header twice, of two schemes",),
    ),
    Check(
        "the scheme of a header",
        edited(
            "bolt_ws.auth.sources:Header._read",
            ("if scheme.lower() == self.scheme.lower()", "if 1"),
        ),
        ("token, presence: another scheme",),
    ),
    Check(
        "a label beside a token",
        edited("bolt_ws.auth.sources:Subprotocol.take", ("websocket.answer is None", "False")),
        ("token, subprotocol: no label",),
    ),
    # The token
    Check(
        "a token's size",
        edited(f"{JWT}.decode", ("len(token) > MAX_TOKEN_LENGTH", "False")),
        ("token, size: a character too long", "token, size: a long header"),
    ),
    Check(
        "the signature",
        replaced(PyJWS, "_verify_signature", nothing),
        (
            "token, signature: one bit else",
            "token, signature: empty",
            "header, algorithm: none",
            "header, another key: jwk",
            "header, another key: HS256 with the public key",
        ),
    ),
    Check(
        "the algorithms",
        edited(f"{JWT}.decode", ("=key.algorithms", '=["HS256", "HS384", "HS512"]')),
        (
            "header, algorithm: HS512 and its good signature",
            "header, algorithm: HS384 and its good signature",
        ),
    ),
    Check(
        "the list of key IDs",
        edited(
            "bolt_ws.auth.keys:_chooser",
            (
                "only if kid is None else by_kid.get(kid)",
                "by_kid.get(kid) or list(by_kid.values())[-1]",
            ),
        ),
        ("header, key ID: unknown", "header, key ID: missing", "header, key ID: huge"),
    ),
    Check(
        "critical extensions",
        edited("bolt_ws.auth.jwt:_read_header", ('"crit" in header or "b64" in header', "False")),
        ("header, extensions: a known critical one", "header, extensions: b64 true"),
    ),
    Check(
        "the type of token",
        edited(
            "bolt_ws.auth.jwt:_read_header",
            (
                'str(header.get("typ", "JWT")).lower().removeprefix("application/") not in _TYPES',
                "False",
            ),
        ),
        ("header, extensions: another type of token", "header, extensions: a security event"),
    ),
    Check(
        "a name twice",
        replaced(jwt, "_parse", DECODER(parse_constant=jwt._refuse_constant).decode),
        ("payload, a claim twice: sub", "header, JSON: two algorithms"),
    ),
    Check(
        "no numbers",
        replaced(jwt, "_parse", DECODER(object_pairs_hook=jwt._unique).decode),
        ("payload, JSON: NaN in another claim", "header, JSON: no number"),
    ),
    Check(
        "what a decoder raises",
        edited(
            f"{JWT}.decode",
            (
                "except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):",
                "except jwt.PyJWTError:",
            ),
        ),
        ("header, JSON: no JSON", "header, key ID: a list", "payload, JSON: half of it"),
        lets_in=False,
    ),
    # Claims
    Check(
        "exp, at connect",
        replaced(pyjwt.PyJWT, "_validate_exp", nothing),
        ("claim exp: past, and no staff",),
        lets_in=False,  # nor later: when admission ends, it is looked at once more
    ),
    Check(
        "exp, when admission ends",
        replaced(Care, "expire_at", nothing),
        ("token that expires meanwhile: in a guard",),
    ),
    Check(
        "nbf",
        replaced(pyjwt.PyJWT, "_validate_nbf", nothing),
        ("claims nbf and iat: nbf in the future",),
    ),
    Check(
        "iat",
        replaced(pyjwt.PyJWT, "_validate_iat", nothing),
        ("claims nbf and iat: iat in the future",),
    ),
    Check("sub", replaced(pyjwt.PyJWT, "_validate_sub", nothing), ("claim sub: a number",)),
    Check(
        "aud",
        replaced(pyjwt.PyJWT, "_validate_aud", nothing),
        (
            "claim aud: another",
            "claim aud: missing",
            "claim aud: one where none is expected",
        ),
    ),
    Check(
        "iss",
        replaced(pyjwt.PyJWT, "_validate_iss", nothing),
        (
            "claim iss: another",
            "claim iss: more than it",
        ),
    ),
    Check(
        "required claims",
        edited(f"{JWT}.decode", ('"require": self._required', '"require": ["exp", "sub"]')),
        ("claims required: missing", "claims required: null"),
    ),
    Check(
        "required exp",
        edited(f"{JWT}.decode", ('"require": self._required', '"require": ["sub"]')),
        ("claim exp: missing",),
        lets_in=False,
    ),
    Check(
        "times are numbers",
        edited(f"{JWT}._check_claims", ("type(claims[name]) not in (int, float)", "False")),
        ("claim exp: a text of digits", "claims nbf and iat: nbf true"),
    ),
    Check(
        "token_type",
        edited(
            f"{JWT}._check_claims",
            ('claims.get("token_type") != (self.token_type or "access")', "False"),
        ),
        ("claim token_type: refresh", "claim token_type: null"),
    ),
    Check(
        "a user's id that can be printed",
        edited(f"{JWT}._identify", (" or not str(user_id).isprintable()", "")),
        ("claim sub: a newline", "claim sub: a null byte"),
    ),
    Check(
        "a user's id that is empty",
        edited(f"{JWT}._identify", (' or user_id == ""', "")),
        ("claim sub: empty",),
        lets_in=False,  # an Identity of nobody cannot be made
    ),
    Check(
        "is_staff is True",
        edited(f"{JWT}._identify", ('claims.get("is_staff") is True', 'bool(claims["is_staff"])')),
        ("claim is_staff: a text", "claim is_staff: a number"),
    ),
    Check(
        "is_superuser is True",
        edited(
            f"{JWT}._identify",
            ('claims.get("is_superuser") is True', 'bool(claims.get("is_superuser"))'),
        ),
        ("claim is_superuser: a text", "claim is_superuser: a text, for a permission"),
    ),
    Check(
        "permissions are a list",
        edited(f"{JWT}._identify", ("not isinstance(permissions, list | tuple)", "False")),
        ("claim permissions: an object",),
    ),
    Check(
        "revocation",
        edited(f"{JWT}.authenticate_token", ("self.revocation is not None", "False")),
        (
            "token, revoked: by its ID",
            "token, revoked: by its user, issued before",
            "token, revoked: by its user, issued who knows when",
        ),
    ),
    Check(
        "an ID that can be revoked",
        edited("bolt_ws.auth.revocation:_is_name", (' and jti != ""', "")),
        ("token, ID that nobody could revoke: empty",),
    ),
    # Sessions, API keys, tickets
    Check(
        "a session's hash",
        replaced(django.contrib.auth, "constant_time_compare", lambda *texts: True),
        ("session, cookie: of a user whose password changed",),
    ),
    Check(
        "a session's signature",
        replaced(django.core.signing, "constant_time_compare", lambda *texts: True),
        ("session, cookie: signed with another key",),
    ),
    Check(
        "a session's age",
        replaced(TimestampSigner, "unsign", unsigned),
        ("session, cookie: of last month",),
    ),
    Check(
        "a session's own expiry",
        edited("bolt_ws.auth.session:SessionAuthentication._identify", (" or remaining <= 0", "")),
        ("session, cookie: over by its own word",),
        lets_in=False,  # nor later: as exp
    ),
    Check(
        "a user who is active",
        edited(
            "bolt_ws.auth.session:SessionAuthentication._identify",
            (" or not is_active(user)", ""),
        ),
        ("session, cookie: of an inactive user",),
    ),
    Check(
        "an API key's hash",
        edited(
            "bolt_ws.auth.api_key:APIKeyAuthentication._search",
            ("hmac.compare_digest(known, digest)", "True"),
        ),
        ("API key: wrong", "API key: one letter else", "API key: its beginning"),
    ),
    Check(
        "an API key's form",
        edited(
            "bolt_ws.auth.api_key:APIKeyAuthentication.authenticate",
            ("not _is_key(key)", "False"),
        ),
        ("API key: too short", "API key: a comma", "API key: bytes of latin-1"),
        lets_in=False,
    ),
    Check(
        "a ticket's single use",
        edited("bolt_ws.auth.tickets:_redeem", (" or not cache.delete(_key(ticket))", "")),
        ("ticket: used",),
    ),
    Check(
        "a ticket's end",
        replaced(LocMemCache, "_has_expired", lambda *arguments: False),
        ("ticket: expired",),
    ),
    Check(
        "a ticket's path",
        edited("bolt_ws.auth.tickets:_redeem", ('entry["path"] not in (None, path)', "False")),
        ("ticket: of another path",),
    ),
)
