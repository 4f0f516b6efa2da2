"""Who may connect: authentication backends, guards, tokens."""

from ..context import ConnectionContext, Identity
from ..exceptions import AuthenticationFailed
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
from .tokens import create_jwt_for_user

__all__ = [
    "AllowAny",
    "Authentication",
    "AuthenticationFailed",
    "ConnectionContext",
    "Guard",
    "HasAllPermissions",
    "HasAnyPermission",
    "HasPermission",
    "Identity",
    "IsAdminUser",
    "IsAuthenticated",
    "IsStaff",
    "JWTAuthentication",
    "create_jwt_for_user",
]
