"""What `settings.BOLT_WS` says of every API that says nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .admission import check_auth, check_guards
from .auth.backends import Authentication
from .auth.guards import Guard
from .client_address import trusted_proxies
from .conf import get_settings
from .endpoint import Inherited
from .exceptions import DeclarationError
from .handshake import Reverser
from .origin import check_origins


def defaults_of(app: Reverser) -> Inherited:
    """Return what the outermost API takes over from the settings.

    Raises `ImproperlyConfigured`, which names the setting, for one that cannot work.
    """
    settings = get_settings()
    trusted_proxies()
    backends = _load(settings.authentication, "AUTHENTICATION", Authentication)
    guards = _load(settings.guards, "GUARDS", Guard)
    try:
        origins = check_origins(settings.origins)
    except DeclarationError as error:
        raise _broken("ORIGINS", str(error)) from None
    return Inherited(
        app=app,
        auth=check_auth(backends, 'BOLT_WS["AUTHENTICATION"]'),
        guards=check_guards(guards, 'BOLT_WS["GUARDS"]'),
        origins=origins,
        refuse=settings.refuse,
    )


_loaded: dict[str, Any] = {}


def _load(named: Sequence[Any], setting: str, kind: type) -> list[Any]:
    """Return instances for what may be dotted paths, of classes too: each path's is made once."""
    return [_load_one(each, setting, kind) if isinstance(each, str) else each for each in named]


def _load_one(path: str, setting: str, kind: type) -> Any:
    if path not in _loaded:
        try:
            found = import_string(path)
        except ImportError as error:
            raise _broken(setting, str(error)) from error
        except Exception as error:
            raise _broken(setting, f"importing {path} raised {type(error).__name__}") from error
        _loaded[path] = _make(found, path, setting, kind) if isinstance(found, type) else found
    return _loaded[path]


def _make(found: type, path: str, setting: str, kind: type) -> Any:
    if not issubclass(found, kind):
        raise _broken(setting, f"{path} is no {kind.__name__}")
    try:
        return found()
    except Exception as error:  # most likely it needs arguments, and says which
        raise _broken(
            setting, f"{path}() fails: {error}; give an instance, or the dotted path of one"
        ) from error


def _broken(setting: str, what: str) -> DeclarationError:
    return DeclarationError(f'BOLT_WS["{setting}"]: {what}')


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting == "BOLT_WS":
        _loaded.clear()


setting_changed.connect(_reset, dispatch_uid="bolt_ws.defaults")
