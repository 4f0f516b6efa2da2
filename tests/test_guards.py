"""The guards that come with bolt_ws, and what they combine to."""

import asyncio
import enum
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import models
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bolt_ws import BoltAPI, DeclarationError, WebSocket
from bolt_ws.auth import (
    AllowAny,
    Guard,
    HasAllPermissions,
    HasAnyPermission,
    HasPermission,
    IsAdminUser,
    IsAuthenticated,
    IsStaff,
    JWTAuthentication,
    Requires,
)
from bolt_ws.auth.backends import nonblocking, resolved
from bolt_ws.context import Identity
from bolt_ws.handshake import Handshake
from tests.support import make_scope, make_token, serve, status


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


VIEW = HasPermission("chat.view")
ANY = HasAnyPermission("chat.view", "chat.add")
ALL = HasAllPermissions("chat.view", "chat.add")
USER: dict[str, Any] = {}
STAFF = {"is_staff": True}
ADMIN = {"is_superuser": True}


@pytest.mark.parametrize(
    ("guard", "claims", "answer"),
    [
        (AllowAny(), None, 101),
        (AllowAny(), USER, 101),
        (IsAuthenticated(), None, 401),
        (IsAuthenticated(), USER, 101),
        (IsStaff(), None, 401),
        (IsStaff(), USER, 403),
        (IsStaff(), STAFF, 101),
        (IsStaff(), ADMIN, 403),
        (IsAdminUser(), None, 401),
        (IsAdminUser(), USER, 403),
        (IsAdminUser(), STAFF, 403),
        (IsAdminUser(), ADMIN, 101),
        (VIEW, None, 401),
        (VIEW, USER, 403),
        (VIEW, {"permissions": []}, 403),
        (VIEW, {"permissions": ["chat.add"]}, 403),
        (VIEW, {"permissions": ["chat.viewer"]}, 403),
        (VIEW, {"permissions": ["chat.add", "chat.view"]}, 101),
        (VIEW, STAFF, 403),
        (VIEW, ADMIN, 101),
        (ANY, {"permissions": ["chat.add"]}, 101),
        (ANY, {"permissions": ["chat.view", "x.y"]}, 101),
        (ANY, {"permissions": ["x.y"]}, 403),
        (ANY, ADMIN, 101),
        (ANY, None, 401),
        (ALL, {"permissions": ["chat.add"]}, 403),
        (ALL, {"permissions": ["chat.add", "chat.view"]}, 101),
        (ALL, ADMIN, 101),
        (ALL, None, 401),
    ],
)
async def test_a_guard(guard: Guard, claims: dict[str, Any] | None, answer: int) -> None:
    application = serve(handler, auth=[JWTAuthentication()], guards=[guard])
    query = "" if claims is None else f"token={make_token(**claims)}"
    assert await status(application, query=query) == answer


@pytest.mark.parametrize(
    "guard",
    [IsAuthenticated(), IsStaff(), IsAdminUser(), VIEW, ANY, ALL],
    ids=lambda g: type(g).__name__,
)
async def test_a_guard_without_auth_lets_nobody_in(guard: Guard) -> None:
    application = serve(handler, guards=[guard])
    token = make_token(is_staff=True, is_superuser=True, permissions=["chat.view", "chat.add"])
    assert await status(application, query=f"token={token}") == 403


@pytest.mark.parametrize("kind", [HasAnyPermission, HasAllPermissions])
@pytest.mark.parametrize("permissions", [(), ("",), (None,), (["chat.view"],), ("chat.view", 1)])
def test_permissions_that_would_guard_nothing(kind: Any, permissions: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(*permissions)


def test_a_guard_without_has_permission_is_an_error() -> None:
    class Forgotten(Guard):
        pass

    with pytest.raises(TypeError, match="has_permission"):
        Forgotten()  # type: ignore[abstract]


# Combinations


def handshake(user_id: str | None = "7", **identity: Any) -> Handshake:
    """A handshake after authentication; `user_id` None is an anonymous one."""
    made = Handshake(make_scope())
    if user_id is not None:
        made.context.identify(Identity(user_id, **identity), "Test")
    return made


class Answer(Guard):
    """Answers what it is given, in one of three ways, and notes that it was asked."""

    def __init__(self, answer: Any, kind: str = "nonblocking", asked: Any = None) -> None:
        self.answer = answer
        self.asked = [] if asked is None else asked
        self.threads: list[int] = []
        self.has_permission = getattr(self, kind)  # type: ignore[method-assign]

    def has_permission(self, websocket: Any) -> Any:  # taken by the one of `kind`
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"Answer({self.answer})"

    def _note(self) -> Any:
        self.asked.append(self.answer)
        self.threads.append(threading.get_ident())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def blocking(self, websocket: Any) -> Any:
        return self._note()

    @nonblocking
    def nonblocking(self, websocket: Any) -> Any:
        return self._note()

    async def coroutine(self, websocket: Any) -> Any:
        await asyncio.sleep(0)
        return self._note()

    def late(self, websocket: Any) -> Any:
        return self.coroutine(websocket)


KINDS = ["nonblocking", "blocking", "coroutine", "late"]

# Synchronous parts run where Django's connections are cared for.
combines = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("guard", "anonymous", "user", "staff", "admin"),
    [
        (IsStaff() & IsAdminUser(), 401, 403, 403, 403),
        (IsStaff() | IsAdminUser(), 401, 403, 101, 101),
        (~IsStaff(), 401, 101, 403, 101),
        (~~IsStaff(), 401, 403, 101, 403),
        (~AllowAny(), 401, 403, 403, 403),
        (~~AllowAny(), 401, 101, 101, 101),
        (~IsAuthenticated(), 401, 403, 403, 403),
        (AllowAny() | IsStaff(), 101, 101, 101, 101),
        (IsStaff() | AllowAny(), 101, 101, 101, 101),
        (AllowAny() & ~IsStaff(), 401, 101, 403, 101),
        (~IsStaff() | IsAdminUser(), 401, 101, 403, 101),
        (~(IsStaff() | IsAdminUser()), 401, 101, 403, 403),
        (~(IsStaff() & IsAdminUser()), 401, 101, 101, 101),
        (~(~IsStaff() & ~IsAdminUser()), 401, 403, 101, 101),
        (~(~IsStaff() | AllowAny()), 401, 403, 403, 403),
        (IsStaff() | IsAdminUser() & IsAuthenticated(), 401, 403, 101, 101),
        (HasPermission("chat.view") | IsStaff(), 401, 403, 101, 101),
        (~Requires("is_staff", True), 401, 101, 403, 101),
        (~Requires("no_such_claim"), 401, 101, 101, 101),
    ],
    ids=repr,
)
async def test_a_combination(
    guard: Guard, anonymous: int, user: int, staff: int, admin: int
) -> None:
    application = serve(handler, auth=[JWTAuthentication()], guards=[guard])
    assert await status(application) == anonymous
    for claims, answer in ((USER, user), (STAFF, staff), (ADMIN, admin)):
        assert await status(application, query=f"token={make_token(**claims)}") == answer


@combines
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
async def test_parts_of_any_kind(first: str, second: str) -> None:
    yes, no = Answer(True, first), Answer(False, first)
    also, nor = Answer(True, second), Answer(False, second)
    for guard, expected in (
        (yes & also, True),
        (yes & nor, False),
        (no & also, False),
        (no | also, True),
        (no | nor, False),
        (yes | nor, True),
        (~no & ~nor, True),
        (~(no | nor), True),
        (~(yes & also), False),
        (~~yes & ~~also, True),
        ((no | also) & (yes | nor), True),
    ):
        answer = await status(serve(handler, guards=[knows, guard]))
        assert answer == (101 if expected else 403), guard


class Knows(Guard):
    """Makes somebody of an anonymous client, for the parts behind a `~`."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        websocket.context.user_id = "7"
        return True


knows = Knows()


@combines
async def test_each_part_runs_where_it_should() -> None:
    here = threading.get_ident()
    for kind in KINDS:
        part = Answer(True, kind)
        for guard in (part & part, ~part | part, AllowAny() & (~AllowAny() | ~~part)):
            assert await status(serve(handler, guards=[knows, guard])) == 101
        threads = {thread == here for thread in part.threads}
        assert threads == {kind != "blocking"}, kind


@combines
@pytest.mark.parametrize("kind", KINDS)
async def test_parts_are_asked_in_order_until_one_decides(kind: str) -> None:
    asked: list[str] = []

    class Part(Answer):
        def __init__(self, name: str, answer: bool) -> None:
            super().__init__(answer, kind)
            self.name = name

        def _note(self) -> Any:
            asked.append(self.name)
            return self.answer

    yes, no, last = Part("yes", True), Part("no", False), Part("last", True)
    for guard, expected in (
        (yes & no & last, ["yes", "no"]),
        (no | yes | last, ["no", "yes"]),
        (no & yes | last, ["no", "last"]),
        (yes & (no | last), ["yes", "no", "last"]),
        (~(yes | last), ["yes"]),
    ):
        asked.clear()
        await resolved(guard.has_permission(handshake()))
        assert asked == expected, guard


def test_parts_that_do_not_block_make_a_guard_that_does_not() -> None:
    inner = IsStaff() | ~HasPermission("chat.view")
    guard = (inner & ~IsAdminUser()) & Requires("role")
    user = handshake(is_staff=True, claims={"role": "x"})
    assert guard.has_permission(user) is True  # and no coroutine
    assert guard.has_permission(handshake(None)) is False


@combines
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [None, 0, 1, "", "yes", [], object()])
async def test_an_answer_that_is_no_bool_refuses_wherever_it_stands(kind: str, answer: Any) -> None:
    odd = Answer(answer, kind)
    for guard in (
        ~odd,
        ~~odd,
        ~(odd & AllowAny()),
        ~(AllowAny() & odd),
        ~(odd | IsStaff()),
        ~(IsStaff() | odd),
        odd | AllowAny(),
        odd & AllowAny(),
        AllowAny() & odd,
    ):
        assert await status(serve(handler, guards=[knows, guard])) == 500, guard


@combines
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("error", "expected"), [(LookupError("x"), 500), (PermissionDenied("x"), 403)]
)
async def test_an_exception_refuses_wherever_it_stands(
    kind: str, error: Exception, expected: int
) -> None:
    fails = Answer(error, kind)
    for guard in (~fails, ~~fails, fails | AllowAny(), ~(fails & AllowAny()), ~(fails | IsStaff())):
        assert await status(serve(handler, guards=[knows, guard])) == expected, guard
    assert await status(serve(handler, guards=[AllowAny() | fails])) == 101  # it is not asked


@combines
@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_anonymous_passes_a_not_and_its_part_is_not_asked(kind: str) -> None:
    for answer in (True, False, None, LookupError()):
        part = Answer(answer, kind)
        assert await resolved((~part).has_permission(handshake(None))) is False
        assert await resolved((~~part).has_permission(handshake(None))) is False
        assert part.asked == []


def leaf_or_tree() -> st.SearchStrategy[Any]:
    leaves = st.tuples(st.booleans(), st.sampled_from(KINDS))

    def grow(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.tuples(st.just("~"), children), st.tuples(st.sampled_from("&|"), children, children)
        )

    return st.recursive(leaves, grow, max_leaves=8)


def build(tree: Any) -> Guard:
    match tree:
        case ("~", part):
            return ~build(part)
        case ("&", one, other):
            return build(one) & build(other)
        case ("|", one, other):
            return build(one) | build(other)
        case (answer, kind):
            return Answer(answer, kind)
    raise AssertionError(tree)


def evaluate(tree: Any, is_user: bool) -> bool:
    match tree:
        case ("~", part):
            return is_user and not evaluate(part, is_user)
        case ("&", one, other):
            return evaluate(one, is_user) and evaluate(other, is_user)
        case ("|", one, other):
            return evaluate(one, is_user) or evaluate(other, is_user)
        case (answer, _):
            return bool(answer)
    raise AssertionError(tree)


@combines
@hypothesis_settings(max_examples=100, deadline=None)
@given(tree=leaf_or_tree(), is_user=st.booleans())
def test_any_combination_is_the_boolean_one(tree: Any, is_user: bool) -> None:
    who = handshake("7" if is_user else None)
    answer = asyncio.run(resolved(build(tree).has_permission(who)))
    assert answer is evaluate(tree, is_user)


@pytest.mark.parametrize(
    ("combine", "message"),
    [
        (lambda: IsStaff & IsAdminUser, r"write IsStaff\(\)"),
        (lambda: IsStaff & IsAdminUser(), r"write IsStaff\(\)"),
        (lambda: IsStaff() & IsAdminUser, r"write IsAdminUser\(\)"),
        (lambda: IsStaff() | IsAdminUser, r"write IsAdminUser\(\)"),
        (lambda: IsStaff | IsAdminUser(), r"write IsStaff\(\)"),
        (lambda: ~IsStaff, r"write ~IsStaff\(\)"),
        (lambda: None & IsStaff, "write IsStaff"),
        (lambda: (IsStaff | IsAdminUser) & AllowAny(), "are classes"),
        (lambda: AllowAny() | (IsStaff | IsAdminUser), "are classes"),
        (lambda: IsStaff() & True, "not True"),  # type: ignore[operator]
        (lambda: IsStaff() | None, "not None"),  # type: ignore[operator]
        (lambda: "IsStaff" & IsStaff(), "not 'IsStaff'"),
        (lambda: False | IsStaff(), "not False"),
        (lambda: IsStaff() & handler, "not <function"),  # type: ignore[operator]
        (lambda: IsStaff() and IsAdminUser(), "combine guards with &"),
        (lambda: IsStaff() or IsAdminUser(), "combine guards with &"),
        (lambda: not IsStaff(), "combine guards with &"),
    ],
)
def test_what_is_no_guard_does_not_combine(combine: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        combine()


def test_two_classes_with_a_bar_are_a_type_and_no_guard() -> None:
    with pytest.raises(DeclarationError, match="no Guard"):
        BoltAPI().websocket("/", guards=[IsStaff | IsAdminUser])(handler)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("guard", "text"),
    [
        (IsStaff(), "IsStaff()"),
        (HasAnyPermission("b.c", "a.b"), "HasAnyPermission('a.b', 'b.c')"),
        (IsStaff() & ~IsAdminUser(), "IsStaff() & ~IsAdminUser()"),
        (IsStaff() & IsAdminUser() & AllowAny(), "IsStaff() & IsAdminUser() & AllowAny()"),
        (IsStaff() | IsAdminUser() & AllowAny(), "IsStaff() | (IsAdminUser() & AllowAny())"),
        (~(IsStaff() | AllowAny()), "~(IsStaff() | AllowAny())"),
        (~~IsStaff(), "~~IsStaff()"),
        (Requires("role", "a", 1, none_of=["b"]), "Requires('role', 'a', 1, none_of=['b'])"),
        (Requires("email_verified"), "Requires('email_verified')"),
    ],
)
def test_a_guard_reads_as_it_is_written(guard: Guard, text: str) -> None:
    assert repr(guard) == text


def test_a_guard_of_ones_own_shows_no_arguments() -> None:
    class Holder(AllowAny):
        def __init__(self, secret: str) -> None:
            self.secret = secret

    assert repr(Holder("hunter2")) == "Holder(...)"


# Claims


class Role(models.TextChoices):
    ADMIN = "admin"


class Level(enum.Enum):
    TWO = 2


ABSENT: list[Any] = [None, False, 0, "", " ", "false", "False", [], {}]


@pytest.mark.parametrize(
    ("guard", "claims", "expected"),
    [
        # there at all
        (Requires("email_verified"), {"email_verified": True}, True),
        (Requires("email_verified"), {"email_verified": "true"}, True),
        (Requires("email_verified"), {"email_verified": 1}, True),
        (Requires("address"), {"address": {"city": "x"}}, True),
        (Requires("scope"), {"scope": "a"}, True),
        *[(Requires("email_verified"), {"email_verified": absent}, False) for absent in ABSENT],
        (Requires("email_verified"), {}, False),
        # one of the values
        (Requires("role", "admin", "owner"), {"role": "owner"}, True),
        (Requires("role", "admin", "owner"), {"role": ["x", "admin"]}, True),
        (Requires("role", "admin", "owner"), {"role": "x"}, False),
        (Requires("role", "admin", "owner"), {"role": []}, False),
        (Requires("role", "admin", "owner"), {"role": None}, False),
        (Requires("role", "admin", "owner"), {}, False),
        (Requires("role", "admin"), {"role": "admin owner"}, False),
        (Requires("role", "admin"), {"role": "administrator"}, False),
        (Requires("role", "admin"), {"role": "Admin"}, False),
        (Requires("role", Role.ADMIN), {"role": "admin"}, True),
        (Requires("level", Level.TWO), {"level": 2}, True),
        # types count
        (Requires("level", 1), {"level": 1}, True),
        (Requires("level", 1), {"level": True}, False),
        (Requires("level", 1), {"level": "1"}, False),
        (Requires("level", 1), {"level": 1.0}, False),
        (Requires("level", True), {"level": 1}, False),
        (Requires("level", "1"), {"level": 1}, False),
        (Requires("level", 0), {"level": False}, False),
        (Requires("level", False), {"level": False}, True),
        (Requires("level", "True"), {"level": True}, False),
        (Requires("level", none_of=[1]), {"level": True}, True),
        # all of them
        (Requires("groups", all_of=["a", "b"]), {"groups": ["a", "b", "c"]}, True),
        (Requires("groups", all_of=["a", "b"]), {"groups": ["a"]}, False),
        (Requires("groups", all_of=["a", "b"]), {"groups": "a b"}, False),
        (Requires("groups", all_of=["a"]), {"groups": "a"}, True),
        (Requires("groups", all_of=["a"]), {}, False),
        # none of them
        (Requires("groups", none_of=["banned"]), {"groups": ["a"]}, True),
        (Requires("groups", none_of=["banned"]), {"groups": ["a", "banned"]}, False),
        (Requires("groups", none_of=["banned"]), {"groups": "banned"}, False),
        (Requires("groups", none_of=["banned"]), {}, True),
        # several conditions
        (Requires("groups", "a", none_of=["b"]), {"groups": ["a"]}, True),
        (Requires("groups", "a", none_of=["b"]), {"groups": ["a", "b"]}, False),
        (Requires("groups", "a", none_of=["b"]), {"groups": ["c"]}, False),
        (Requires("groups", "a", all_of=["c"]), {"groups": ["a", "c"]}, True),
        (Requires("groups", "a", all_of=["c"]), {"groups": ["a"]}, False),
        # OAuth's scopes
        (Requires("scope", "chat:write"), {"scope": "openid chat:write"}, True),
        (Requires("scope", all_of=["a", "b"]), {"scope": "b  a"}, True),
        (Requires("scope", all_of=["a", "b"]), {"scope": "ab"}, False),
        (Requires("scope", "chat"), {"scope": "chat:write"}, False),
        (Requires("scope", none_of=["b"]), {"scope": "a b"}, False),
        (Requires("scope", "a"), {"scope": ["a", "b"]}, True),
        (Requires("scp", "b"), {"scp": "a b"}, True),
        (Requires("scopes", "b"), {"scopes": "a b"}, False),
    ],
    ids=repr,
)
def test_a_claim(guard: Guard, claims: dict[str, Any], expected: bool) -> None:
    assert guard.has_permission(handshake(claims=claims)) is expected
    inverted: Any = (~guard).has_permission(handshake(claims=claims))
    assert inverted is not expected


@pytest.mark.parametrize("claims", [{}, {"role": "admin", "scope": "a"}])
@pytest.mark.parametrize(
    "guard",
    [
        Requires("role"),
        Requires("role", "admin"),
        Requires("role", all_of=["admin"]),
        Requires("role", none_of=["banned"]),
        ~Requires("role", "banned"),
        ~Requires("role", none_of=["admin"]),
    ],
    ids=repr,
)
def test_nobody_anonymous_satisfies_a_claim(guard: Guard, claims: dict[str, Any]) -> None:
    anonymous = handshake(None)
    anonymous.context["claims"] = claims
    assert guard.has_permission(anonymous) is False


@pytest.mark.parametrize(
    "claim", [{"name": "banned"}, [["banned"]], [None], [{"a": 1}, "admin"]], ids=repr
)
@pytest.mark.parametrize(
    "guard",
    [
        Requires("role", "admin"),
        Requires("role", all_of=["admin"]),
        Requires("role", none_of=["banned"]),
        ~Requires("role", "banned"),
        AllowAny() & ~(Requires("role", "banned") | IsStaff()),
    ],
    ids=repr,
)
async def test_a_claim_that_cannot_be_compared_refuses(guard: Guard, claim: Any) -> None:
    application = serve(handler, auth=[JWTAuthentication()], guards=[guard])
    assert await status(application, query=f"token={make_token(role=claim)}") == 403


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((("",), {}), "name of a claim"),
        (((None,), {}), "name of a claim"),
        (((["role"],), {}), "name of a claim"),
        ((("role", None), {}), "not None"),
        ((("role", 1.5), {}), "not 1.5"),
        ((("role", ["admin"]), {}), r"not \['admin'\]"),
        ((("role", ""), {}), "empty"),
        ((("role",), {"all_of": "admin"}), "all_of must be a list"),
        ((("role",), {"none_of": "admin"}), "none_of must be a list"),
        ((("role",), {"none_of": {"admin": 1}}), "none_of must be a list"),
        ((("role",), {"all_of": []}), "all_of is empty"),
        ((("role",), {"none_of": ()}), "none_of is empty"),
        ((("role",), {"none_of": [""]}), "empty"),
        ((("role",), {"none_of": [None]}), "not None"),
        ((("scope", "a b"), {}), "several scopes"),
        ((("scp",), {"none_of": ["a b"]}), "several scopes"),
    ],
)
def test_claims_that_would_guard_nothing(arguments: Any, named: str) -> None:
    positional, keywords = arguments
    with pytest.raises(ValueError, match=named):
        Requires(*positional, **keywords)


# What a guard sees


class IsMember(Guard):
    """An object's own permission, in five lines: a room is a group of users."""

    async def has_permission(self, websocket: Handshake) -> bool:
        room, user_id = websocket.path_params["room"], websocket.context.user_id
        return await Group.objects.filter(pk=room, user=user_id).aexists()


@combines
async def test_an_objects_own_permission() -> None:
    alice = await User.objects.acreate(username="alice")
    mine = await Group.objects.acreate(name="mine")
    other = await Group.objects.acreate(name="other")
    await alice.groups.aadd(mine)

    async def room(websocket: WebSocket, room: int) -> None:
        await websocket.accept()

    application = serve(
        room, "/{room:int}", auth=[JWTAuthentication()], guards=[IsAuthenticated() & IsMember()]
    )
    query = f"token={make_token(sub=str(alice.pk))}"
    assert await status(application, f"/{mine.pk}", query=query) == 101
    assert await status(application, f"/{other.pk}", query=query) == 403
    assert await status(application, f"/{mine.pk}", query=f"token={make_token(sub='0')}") == 403
    assert await status(application, f"/{other.pk}") == 401  # where nobody is a member either


async def test_a_guard_sees_paths_queries_and_the_endpoints_metadata() -> None:
    seen: list[Any] = []

    class Look(Guard):
        async def has_permission(self, websocket: Handshake) -> bool:
            seen.append(
                (
                    dict(websocket.path_params),
                    websocket.query_params.getlist("tag"),
                    websocket.opt.get("plan"),
                )
            )
            return True

    async def room(websocket: WebSocket, room: str) -> None:
        await websocket.accept()

    api = BoltAPI(auth=[JWTAuthentication()], guards=[AllowAny() & ~~Look()])
    again = api.websocket("/paid/{room:int}", opt={"plan": "paid"})(room)
    api.websocket("/again/{room}")(again)
    api.websocket("/free/{room}")(room)
    query = f"tag=a&tag=b&token={make_token()}"
    for path in ("/paid/7", "/again/8", "/free/9"):
        assert await status(api.as_asgi(), path, query=query) == 101
    assert seen == [
        ({"room": 7}, ["a", "b"], "paid"),  # before the handler's own annotation counts
        ({"room": "8"}, ["a", "b"], "paid"),
        ({"room": "9"}, ["a", "b"], None),
    ]
