"""The keys that signatures are verified with, and which of them a token means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jwt.algorithms import Algorithm, get_default_algorithms, has_crypto, requires_cryptography

from ..conf import jwt_key
from ..exceptions import AuthenticationFailed, DeclarationError

MINIMUM_KEY_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The shortest key that RFC 7518 section 3.2 allows."""

_FAMILIES: Final = {"HS": "a shared key", "RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "EdDSA"}


@dataclass(frozen=True, slots=True, repr=False)
class VerificationKey:
    """A key as PyJWT takes it, and the algorithms that it may verify."""

    material: Any
    algorithms: tuple[str, ...]


FindKey = Callable[[Any], VerificationKey]
"""Returns the key that a token's `kid` names, which may be any JSON until PyJWT has checked it.

Raises a `Refusal`, or `TypeError`, if there is none."""


def check_algorithms(algorithms: Any) -> tuple[str, ...]:
    """Return the algorithms. Raises `DeclarationError` unless they are of one family of keys."""
    if not isinstance(algorithms, list | tuple) or not algorithms:
        raise DeclarationError(f"algorithms must be a list such as ['HS256'], not {algorithms!r}")
    known = get_default_algorithms().keys() - {"none"}
    for algorithm in algorithms:
        if not has_crypto and algorithm in requires_cryptography:
            raise DeclarationError(f"{algorithm} needs a package: pip install 'PyJWT[crypto]'")
        if not isinstance(algorithm, str) or algorithm not in known:
            raise DeclarationError(
                f"unknown algorithm {algorithm!r}; known here: {', '.join(sorted(known))}"
            )
    # RFC 8725 section 3.1: with a shared and a public key in one place, one passes for the other.
    families = {_FAMILIES[algorithm[:2]] for algorithm in algorithms}
    if len(families) > 1:
        raise DeclarationError(
            f"algorithms are of one kind of key, and {', '.join(algorithms)} are of "
            f"{' and '.join(sorted(families))}; give each its own endpoints"
        )
    return tuple(algorithms)


def are_shared(algorithms: Sequence[str]) -> bool:
    """Tell whether one key signs and verifies: HMAC."""
    return algorithms[0].startswith("HS")


def compile_keys(
    algorithms: tuple[str, ...], key: Any, public_key: Any, keys: Any
) -> tuple[FindKey, tuple[VerificationKey, ...]]:
    """Return how to find the key of a token, and the keys that are known by now.

    Without any, it is the key of the settings, read when it is needed. Raises `DeclarationError`.
    """
    if keys is not None:
        by_kid = _compile_all(keys, algorithms)
        return _chooser(by_kid), tuple(by_kid.values())
    if key is None and public_key is None:
        if not are_shared(algorithms):
            raise DeclarationError(f"{algorithms[0]} needs a public_key, keys or a jwks_url")
        return lambda kid: VerificationKey(jwt_key(), algorithms), ()
    if public_key is not None and are_shared(algorithms):
        raise DeclarationError(
            f"a public_key verifies no {algorithms[0]}: name its algorithms, ['RS256'] for instance"
        )
    name, material = ("key", key) if public_key is None else ("public_key", public_key)
    one = compile_key(material, algorithms, f"the {name}")
    if unfit := sorted(set(algorithms) - set(one.algorithms)):
        raise DeclarationError(f"the {name} cannot verify {', '.join(unfit)}")
    return lambda kid: one, (one,)


def compile_key(material: Any, algorithms: Sequence[str], name: str) -> VerificationKey:
    """Return a key with those of `algorithms` that it fits, parsed once.

    Raises `DeclarationError` for one that fits none, is private, or is too short to be safe. The
    error names the key by `name` alone.
    """
    if not material:
        raise DeclarationError(f"{name} is empty")
    fitting, parsed = [], material
    for algorithm in algorithms:
        implementation = get_default_algorithms()[algorithm]
        try:
            parsed = implementation.prepare_key(parsed)
        except Exception:  # whatever its parser says, it is no key for this algorithm
            continue
        _check_strength(implementation, parsed, name, is_shared=are_shared(algorithms))
        fitting.append(algorithm)
    if not fitting:
        kind = _FAMILIES[algorithms[0][:2]]
        wanted = kind if are_shared(algorithms) else f"a public key for {kind}, as PEM"
        raise DeclarationError(f"{name} cannot verify {', '.join(algorithms)}: expected {wanted}")
    return VerificationKey(parsed, tuple(fitting))


def _check_strength(implementation: Algorithm, key: Any, name: str, *, is_shared: bool) -> None:
    if hasattr(key, "private_bytes"):
        raise DeclarationError(f"{name} is a private key: to verify needs only the public one")
    # A short shared key is a system check's matter, and PyJWT is told to refuse it.
    if not is_shared and (fault := implementation.check_key_length(key)):
        raise DeclarationError(f"{name}: {fault}")


def _compile_all(keys: Any, algorithms: Sequence[str]) -> dict[str, VerificationKey]:
    if not isinstance(keys, Mapping) or not keys:
        raise DeclarationError("keys must be a mapping of key IDs to keys, and not empty")
    for kid in keys:
        if not isinstance(kid, str) or not kid:
            raise DeclarationError(f"keys: a key ID is text, not {kid!r}")
    return {kid: compile_key(key, algorithms, f"the key {kid!r}") for kid, key in keys.items()}


def _chooser(by_kid: Mapping[str, VerificationKey]) -> FindKey:
    only = next(iter(by_kid.values())) if len(by_kid) == 1 else None

    def find(kid: Any) -> VerificationKey:
        found = only if kid is None else by_kid.get(kid)
        if found is None:
            raise AuthenticationFailed("Invalid token")
        return found

    return find
