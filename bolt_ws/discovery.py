"""The APIs of a project: those that a setting names, else those in its `api` modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import module_has_submodule

from .api import BoltAPI
from .conf import get_settings
from .routing import Route


def find_apis() -> list[BoltAPI]:
    """Return the project's APIs, each once.

    `BOLT_WS["APIS"]` names them; else every `BoltAPI` counts that stands in the `api` module of the
    project package or of an installed app, unless another one includes it. An error in such a
    module is raised, not swallowed.
    """
    named = get_settings().apis
    if named is not None:
        return _unique(map(_load, named))
    found = _unique(
        value
        for module in _api_modules()
        for value in vars(module).values()
        if isinstance(value, BoltAPI)
    )
    roots = [api for api in found if not api.is_included]
    reached = {id(inner) for api in roots for inner in (api, *api.included())}
    for api in found:
        if id(api) not in reached:  # served by itself, it would lack what its includer demands
            raise ImproperlyConfigured(
                f"{api!r} is included by an API that was not found: make that a variable of an "
                '`api` module, or name what to serve in BOLT_WS["APIS"]'
            )
    return roots


def find_routes() -> list[Route]:
    """Return all endpoints of the project."""
    routes = [route for api in find_apis() for route in api.routes]
    return sorted(routes, key=lambda route: bool(route.pattern.names))


def _unique(apis: Iterator[BoltAPI]) -> list[BoltAPI]:
    return list({id(api): api for api in apis}.values())


def _load(name: str) -> BoltAPI:
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ImproperlyConfigured(
            f'BOLT_WS["APIS"] takes "module:attribute", such as "chat.api:api", not {name!r}'
        )
    module = importlib.import_module(module_name)
    api = getattr(module, attribute, None)
    if not isinstance(api, BoltAPI):
        raise ImproperlyConfigured(f'BOLT_WS["APIS"]: {name!r} is no BoltAPI, but {api!r}')
    return api


def _api_modules() -> Iterator[ModuleType]:
    packages = [config.name for config in apps.get_app_configs()]
    # The project package need not be an installed app; its root URLconf tells where it is.
    project = getattr(settings, "ROOT_URLCONF", "").rpartition(".")[0]
    if project:
        packages.insert(0, project)
    for name in dict.fromkeys(packages):
        package = importlib.import_module(name)
        if module_has_submodule(package, "api"):
            yield importlib.import_module(f"{name}.api")
