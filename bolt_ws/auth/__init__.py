"""Who may connect: authentication backends, guards, tokens."""

from ..context import ConnectionContext, Identity
from ..exceptions import AuthenticationFailed
from .api_key import APIKeyAuthentication, generate_api_key, hash_api_key
from .backends import Authentication
from .guards import (
    AllowAny,
    Guard,
    HasAllPermissions,
    HasAnyPermission,
    HasPermission,
    IsAdminUser,
    IsAuthenticated,
    IsStaff,
)
from .jwt import JWTAuthentication
from .requires import Requires
from .revocation import RevocationStore
from .session import SessionAuthentication
from .sources import Cookie, Header, Query, Subprotocol
from .tickets import TicketAuthentication, acreate_ticket, create_ticket, ticket_view
from .tokens import create_jwt_for_user

__all__ = [
    "APIKeyAuthentication",
    "AllowAny",
    "Authentication",
    "AuthenticationFailed",
    "ConnectionContext",
    "Cookie",
    "Guard",
    "HasAllPermissions",
    "HasAnyPermission",
    "HasPermission",
    "Header",
    "Identity",
    "IsAdminUser",
    "IsAuthenticated",
    "IsStaff",
    "JWTAuthentication",
    "Query",
    "Requires",
    "RevocationStore",
    "SessionAuthentication",
    "Subprotocol",
    "TicketAuthentication",
    "acreate_ticket",
    "create_jwt_for_user",
    "create_ticket",
    "generate_api_key",
    "hash_api_key",
    "ticket_view",
]
