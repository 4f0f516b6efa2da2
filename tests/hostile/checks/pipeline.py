"""What is checked besides the credential, and how to switch each check off."""

from __future__ import annotations

from tests.hostile.switching import Check, edited

ADMIT = "bolt_ws.admission:Admission._admit"
LEASE = "bolt_ws.limits:Lease"
ADDRESS = "bolt_ws.client_address:client_address"

CHECKS = (
    # Origin and host
    Check(
        "the origin and the host",
        edited(ADMIT, ("self._origins.check(websocket)", "pass")),
        (
            "origin, foreign: another host",
            "origin, malformed: null",
            "origin, more than one: ours first",
            "origin, named: another scheme",
            "host: another",
        ),
    ),
    Check(
        "the host",
        edited("bolt_ws.origin:_judge", ("own is None and host is not None", "False")),
        ("host: another", "host: latin-1", "host: overlong"),
    ),
    Check(
        "the origin's scheme and port",
        edited("bolt_ws.origin:_is_own_host", ("page[::2] == own[::2] and ", "")),
        ("origin, foreign: another scheme", "origin, foreign: another port"),
    ),
    Check(
        "a named origin's scheme and port",
        edited("bolt_ws.origin:Origin.covers", ("same and ", "")),
        ("origin, named: another scheme", "origin, named: another port"),
    ),
    Check(
        "a named origin's host",
        edited("bolt_ws.origin:Origin.covers", (" and is_same_domain(other.host, self.host)", "")),
        ("origin, named: a host below", "origin, named: the wildcard's beginning"),
    ),
    Check(
        "an origin that is one",
        edited(
            "bolt_ws.origin:_judge",
            ("if page is None:\n        return _Verdict.FOREIGN", "if page is None: page = own"),
        ),
        (
            "origin, malformed: null",
            "origin, malformed: a path",
            "origin, more than one: ours twice",
        ),
    ),
    Check(
        "an origin where the credential is a cookie",
        edited("bolt_ws.admission:Admission._take_over", ("identity.is_ambient", "False")),
        (
            "session, origin: none",
            "session, origin: foreign, where any is allowed",
            "token in a cookie: no origin",
        ),
    ),
    Check(
        "any origin, where the credential is a cookie",
        edited("bolt_ws.origin:Origins.require", ("verdict is not _Verdict.ALLOWED", "False")),
        ("session, origin: foreign, where any is allowed",),
    ),
    Check(
        "any origin, where the cookie is a middleware's",
        edited(ADMIT, ("self._origins.trust(websocket)", "True")),
        ("cookie of a middleware, any origin: foreign",),
    ),
    # Limits
    Check(
        "the limit of the process",
        edited(f"{LEASE}.take", ("if of_process is not None", "if False")),
        ("limit of connections: one more", "limit of connections: one more, with a good token"),
    ),
    Check(
        "the limit of a client",
        edited(f"{LEASE}.take", ("if of_client is not None:\n", "if False:\n")),
        (
            "limit of connections, per client: one more",
            "limit of connections, of a network: its next address",
            "limit of connections, behind a proxy: one more",
        ),
    ),
    Check(
        "the limit of connects a second",
        edited(f"{LEASE}.take", ("if rate is not None and (wait", "if False and (wait")),
        ("limit of connects a second: one more",),
    ),
    Check(
        "the limit of a user",
        edited(f"{LEASE}.take_user", ("most is not None", "False")),
        ("limit of connections, per user: one more", "limit of connections, per user: in a header"),
    ),
    Check(
        "the network of an address",
        edited("bolt_ws.limits:_client_of", (" or ip_address(address).version == 4", " or True")),
        ("limit of connections, of a network: its last address",),
    ),
    Check(
        "who may speak for a client",
        edited(
            ADDRESS,
            ("trusted is not None and trusted.cover(address, is_unix=not peer)", "True"),
            ("not trusted.cover(address)", "True"),
        ),
        ("limit of connections, per client: said to come from another",),
    ),
    Check(
        "the last address of several",
        edited(ADDRESS, ("reversed(_forwarded_for(scope))", "_forwarded_for(scope)")),
        ("limit of connections, behind a proxy: an address made up",),
    ),
    # Guards
    Check(
        "a credential where there are backends",
        edited("bolt_ws.admission:Admission.__init__", ("auth and not guards", "False")),
        ("token, presence: none", "session, cookie: none", "API key: none", "ticket: none"),
    ),
    Check(
        "nothing but True",
        edited(
            "bolt_ws.admission:Admission._guard",
            (
                "await resolved(has_permission(websocket)) is not True",
                "not await resolved(has_permission(websocket))",
            ),
        ),
        ("guard, answer: 1", "guard, answer: a text", "guard, answer: a text, in a thread"),
    ),
    Check(
        "True or False in a composition",
        edited("bolt_ws.auth.guards:_checked", ("isinstance(answer, bool)", "True")),
        ("guard, behind ~: None",),
    ),
    Check(
        "somebody behind ~",
        edited(
            "bolt_ws.auth.guards:Not.has_permission",
            ('websocket.context["user_id"] is None', "False"),
        ),
        ("guard, behind ~: anonymous", "guard, behind ~: anonymous, and no staff"),
    ),
    Check(
        "somebody with claims",
        edited(
            "bolt_ws.auth.requires:Requires.has_permission", ('context["user_id"] is None', "False")
        ),
        ("guard, none_of: anonymous",),
    ),
    Check(
        "types of claims",
        edited(
            "bolt_ws.auth.requires:Requires._held",
            ("(type(each), each) for each in held", "(int, each) for each in held"),
        ),
        ("guard, claims: true for 1", "guard, claims: a float for 1"),
    ),
    Check(
        "claims that can be compared",
        edited(
            "bolt_ws.auth.requires:Requires._held",
            ("any(type(each) not in _SCALARS for each in held)", "False"),
        ),
        ("guard, none_of: hidden in a list", "guard, none_of: hidden in an object"),
        lets_in=False,
    ),
    # Admission
    Check(
        "an exception refuses",
        edited(ADMIT, ("except Exception as error", "except ZeroDivisionError as error")),
        (
            "guard, exception: LookupError",
            "backend, answer: LookupError",
            "backend, answer: a text",
        ),
        lets_in=False,
    ),
    Check(
        "an Identity",
        edited(
            "bolt_ws.admission:Admission._authenticate",
            ("websocket.auth, websocket.backend = identity, backend", "return"),
        ),
        ("backend, answer: True",),
        lets_in=False,
    ),
    Check(
        "a connection that a guard has ended",
        edited(ADMIT, ("websocket.state is not WebSocketState.CONNECTING", "False")),
        ("guard, acting: closes",),
    ),
    Check(
        "no accept in admission",
        edited(
            "bolt_ws.connection:Connection._check_may_accept", ("not self._may_accept", "False")
        ),
        ("guard, acting: accepts",),
        lets_in=False,  # but accepted, and then closed
    ),
    Check(
        "the deadline",
        edited("bolt_ws.admission:Admission.admit", ("get_settings().admission_timeout", "3600")),
        ("deadline: a guard that is slow", "deadline: a backend and a guard, slow together"),
    ),
    Check(
        "the arguments",
        edited("bolt_ws.parameters:bind_all", ("if errors:", "if False:")),
        (
            "path parameter: letters",
            "query parameter: missing",
            "query parameter: none of the choices",
            "header parameter: letters",
        ),
    ),
)
