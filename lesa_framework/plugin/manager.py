"""Finds plugins by their entry points (group `lesa`) and lets each of them register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import cast

import pluggy

from lesa_framework.errors import PluginContractError
from lesa_framework.interfaces.observer import Observer
from lesa_framework.plugin import hookspecs
from lesa_framework.plugin.markers import PROJECT
from lesa_framework.plugin.registry import Registrar, Registry


class Plugins:
    """All plugins of this process.

    Attributes:
        hook: Pluggy's relay: its methods are the hooks of all plugins, called by keyword.
        registry: What the plugins registered.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.hook = self._manager.hook
        self.registry = Registry()
        self._replaceable: set[str] = set()

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The hooks of all plugins as one observer; none where no plugin watches runs.

        It stays as it is when plugins are added or replaced: nobody hears of the end of a run and not of its start.
        """
        watched = (self.hook.lesa_run_start, self.hook.lesa_step_end, self.hook.lesa_run_end)
        # As they were when they were added: a notebook's module may have other hooks by now, which nobody has checked.
        found = {caller.name: caller.get_hookimpls()[::-1] for caller in watched}  # pluggy calls the last one first
        told = {name: partial(_call, impls) for name, impls in found.items()}
        return (cast(Observer, SimpleNamespace(**told)),) if any(found.values()) else ()

    def add(self, name: str, plugin: object) -> None:
        """Add one plugin: a module or an object with hooks.

        Raises:
            PluginContractError: A hook's name or signature is wrong, or it wraps others, `lesa_register` fails, or a
                name is taken. Nothing is left of the plugin then.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()  # otherwise a misspelt hook would silently never be called
            self._refuse_wrappers(name, plugin)
            for impl in self.hook.lesa_register.get_hookimpls():
                if impl.plugin_name == name:
                    self._register(name, impl.function)
        except ValueError as error:  # the name, or the plugin, is taken: whoever has it keeps it
            raise PluginContractError(f"plugin '{name}': {error}") from error
        except pluggy.PluginValidationError as error:
            self._remove(name)
            raise PluginContractError(f"plugin '{name}': {error}") from error
        except BaseException:  # a notebook's cell may be interrupted, too
            self._remove(name)
            raise

    def replace(self, name: str, plugin: object) -> None:
        """Add one plugin in the place of what was added by this method under the same name before, if anything.

        Raises:
            PluginContractError: As for `add`; an installed plugin is never replaced. Nothing is left of either then.
        """
        if name in self._replaceable:
            self._remove(name)
        elif name in self.names():
            raise PluginContractError(f"plugin '{name}' was not added to be replaced. Choose another name.")
        self.add(name, plugin)
        self._replaceable.add(name)

    def _remove(self, name: str) -> None:
        self._replaceable.discard(name)
        self._manager.unregister(name=name)
        self.registry.drop(name)

    def _refuse_wrappers(self, name: str, plugin: object) -> None:
        for caller in self._manager.get_hookcallers(plugin) or ():
            if any(impl.plugin_name == name and (impl.wrapper or impl.hookwrapper) for impl in caller.get_hookimpls()):
                raise PluginContractError(
                    f"plugin '{name}': {caller.name} is to wrap the hooks of other plugins, which nothing here does. "
                    "Mark it with @hookimpl alone."
                )

    def _register(self, name: str, register: Callable[[Registrar], object]) -> None:
        try:
            register(Registrar(self.registry, name))
        except PluginContractError:
            raise
        except Exception as error:
            raise PluginContractError(
                f"plugin '{name}': lesa_register failed: {error}. Fix the plugin or uninstall it."
            ) from error

    def has(self, name: str, plugin: object) -> bool:
        """Whether this plugin was added under this name."""
        return self._manager.get_plugin(name) is plugin

    def adds_nothing(self, name: str) -> bool:
        """Whether a plugin has registered nothing, and has no other hook: the mark of its hook may be missing."""
        hooks = self._manager.get_hookcallers(self._manager.get_plugin(name)) or ()
        return all(caller.name == "lesa_register" for caller in hooks) and not self.registry.has_any_of(name)

    def names(self) -> list[str]:
        """Names of all plugins, sorted."""
        return sorted(name for name, _ in self._manager.list_name_plugin())


def _call(impls: Sequence[pluggy.HookImpl], **given: object) -> None:
    for impl in impls:
        defaults = {name: given[name] for name in impl.kwargnames if name in given}
        impl.function(*(given[name] for name in impl.argnames), **defaults)


@lru_cache(maxsize=1)
def plugins() -> Plugins:
    """The plugins that are installed in this environment; found once for each process.

    Raises:
        PluginContractError: A plugin cannot be imported or breaks its contract.
    """
    found = Plugins()
    for entry in sorted(entry_points(group=PROJECT), key=lambda entry: entry.name):
        try:
            module = entry.load()
        except Exception as error:
            raise PluginContractError(
                f"plugin '{entry.name}' ({entry.value}) cannot be imported: {error}. Fix the plugin or uninstall it."
            ) from error
        found.add(entry.name, module)
    return found


def add_plugin(name: str, plugin: object, *, replace: bool = False) -> None:
    """Add a plugin that is not installed: one that came as a folder into another program, for example.

    Adding the same one again does nothing.

    Args:
        name: Its name, for messages and lists.
        plugin: A module or an object with hooks, as an entry point of the group `lesa` would name it. In a notebook,
            `sys.modules[__name__]` is the module of its cells.
        replace: Take the place of what was added so under the same name before, so that a notebook's cell can be run
            again. Sessions that are attached keep what they have, and who watches them.

    Raises:
        PluginContractError: A hook's name or signature is wrong, or it wraps others, `lesa_register` fails, or a name
            is taken. An installed plugin's name is always taken.
    """
    if replace:
        plugins().replace(name, plugin)
    elif not plugins().has(name, plugin):
        plugins().add(name, plugin)
