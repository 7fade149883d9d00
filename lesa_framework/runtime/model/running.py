"""Runs a model's own forward: whole, or with its blocks bypassed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from lesa_framework.errors import LesaError
from lesa_framework.interfaces.backbone import BackboneAdapter
from lesa_framework.runtime.model.blocks import BlockLists
from lesa_framework.runtime.model.compiled import Compilation, Variants, uncompiled, variants_of
from lesa_framework.runtime.model.conflicts import forward_of
from lesa_framework.runtime.model.head import Head, unchanged
from lesa_framework.runtime.model.offload import is_offloaded, past_the_blocks
from lesa_framework.runtime.model.sharded import check_whole
from lesa_framework.runtime.model.unread import Unread
from lesa_framework.runtime.model.verify import copied, is_copied, random_state_of, verify
from lesa_framework.runtime.model.wrapping import Wrapper, unwrap, wrapper_like
from lesa_framework.types import Tap


class Given(NamedTuple):
    """What the model was called with.

    Attributes:
        args: Without names.
        kwargs: By name.
        latent: The one of them that is the latent.
        return_dict: Whether they ask for an object.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    latent: Tensor
    return_dict: bool


class Runner:
    """Runs a model's forward, and takes or puts back the feature.

    The first computed step shows whether the adapter fits. If the user wants the model to be compiled, that step is
    run twice, uncompiled for the check; all that counts is compiled, so that a first run is like any other.

    Args:
        model: The transformer.
        adapter: How it is laid out.
        tap: Where the feature is taken.
        forward: The model's own.
        compilation: How the user compiled the model.
        around_compute: Makes a context for each computed step.
        verified: Whether the adapter is known to fit the model.
        missed: Called when the model runs past this.
        warn: Called with a message.

    Attributes:
        forward: The model's own, uncompiled.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: BackboneAdapter,
        tap: Tap,
        forward: Callable[..., Any],
        compilation: Compilation,
        around_compute: Callable[[], AbstractContextManager[Any]],
        verified: bool,
        missed: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._model, self._adapter, self._tap, self._warn = model, adapter, tap, warn
        self._blocks = BlockLists(model, adapter)
        self._head = Head(model, adapter, tap, missed)
        self._unread = Unread(model, adapter)
        self._compilation, self._around_compute = compilation, around_compute
        # At the output a predicted step has nothing of the model's layout in it.
        self._verified = (verified and not adapter.unverified) or tap is Tap.OUTPUT
        self._blocks_are_called = False  # not known until a computed step has shown it
        self._is_offloaded = False  # as of the last computed step
        self._wrappers: dict[bool, Wrapper] = {}  # by the call's return_dict
        self.forward, self._origin = uncompiled(forward), forward_of(model)

    def attach(self) -> None:
        """Enter the model."""
        self._blocks.attach()
        self._head.attach()
        self._unread.attach()

    def detach(self) -> None:
        """Leave the model; again if need be."""
        self._head.remove()
        self._unread.detach()
        self._blocks.detach()

    def check(self) -> None:
        """Check that the model still has the blocks that it had.

        Raises:
            UnsupportedBackboneError: It has others.
        """
        self._blocks.check()
        self._unread.check()

    def end(self) -> None:
        """End a call, however it went, and hold no tensor."""
        self._head.end()

    def run(self, given: Given) -> Any:
        """Run the model as if nothing were attached."""
        variants = self._checked_variants(given)
        if variants is None:
            return self.forward(*given.args, **given.kwargs)
        output, _, _ = variants.full(self._model, given.latent, given.args, given.kwargs)
        return output

    def compute(self, given: Given, computed: Callable[[Tensor], Tensor]) -> tuple[Any, Tensor]:
        """Run all of the model.

        Args:
            given: The call.
            computed: Takes the feature; what it returns is used in its place.

        Returns:
            The output, and the feature that was used.
        """
        variants = self._checked_variants(given)
        if variants is None:
            output, used = self._compute_uncompiled(given, computed)
            self._learn(given, used)
            return output, used
        with self._around_compute():
            output, read, calls = variants.full(self._model, given.latent, given.args, given.kwargs)
        if self._tap is Tap.OUTPUT:
            # CUDA graphs write to the same memory again, and observers may keep what they get.
            return self._at_output(wrapper_like(output)(unwrap(output).clone()), given, computed)
        self._head.expect_one(calls)
        assert read is not None  # the head was called
        feature = self._head.local(read, given.latent.shape)
        used = computed(feature)
        return (output if used is feature else self._bypass(given, used)), used

    def replay(self, given: Given, feature: Tensor) -> Any:
        """Run the model without its blocks, with this feature; at the output nothing runs, and the sampler gets it."""
        wrap = self._wrappers.get(given.return_dict)
        if self._tap is Tap.OUTPUT and wrap is not None:
            return wrap(feature)
        output = self._bypass(given, feature)
        return wrapper_like(output)(feature) if self._tap is Tap.OUTPUT else output

    def _variants(self) -> Variants | None:
        """What is compiled, or will be; None if nothing is to be."""
        compile_ = self._compilation.compile_
        if compile_ is None:
            return None
        if self.forward not in (type(self._model).forward.__get__(self._model), self._model.__call__):
            self._warn(
                f"{type(self._model).__name__}: it is compiled as a whole, but not its own forward.{self._origin} "
                "While a session is attached it runs uncompiled. Compile its blocks instead: "
                "`transformer.compile_repeated_blocks()`."
            )
            return None
        variants = variants_of(self._model, self._adapter, self._tap, compile_)
        variants.is_checked |= self._blocks_are_called and self._verified
        return variants

    def _checked_variants(self, given: Given) -> Variants | None:
        variants = self._variants()
        if variants is not None and not variants.is_checked:
            if not (is_copied(given.args) and is_copied(given.kwargs)):
                return None  # a call that fills a cache, say, must not be made twice: uncompiled, it is checked as well
            with random_state_of([given.latent]):
                self._compute_uncompiled(_copy(given), unchanged)
            variants.is_checked = True
        return variants

    def _compute_uncompiled(self, given: Given, computed: Callable[[Tensor], Tensor]) -> tuple[Any, Tensor]:
        # A forward may change what it is given; the second one has to get the same.
        again = None if self._verified else _copy(given)
        watched = nullcontext() if self._blocks_are_called else self._blocks.watched(lambda: self._head.called)
        self._head.begin(given.latent, None, computed)
        with self._around_compute(), watched:
            output = self.forward(*given.args, **given.kwargs)
            self._head.check()
        self._blocks_are_called, self._is_offloaded = True, is_offloaded(self._model)
        if self._tap is Tap.OUTPUT:
            return self._at_output(output, given, computed)
        used = self._head.feature
        assert used is not None  # the head was called
        if again is not None:
            self._verify(used, output, again)
        return output, used

    def _learn(self, given: Given, used: Tensor) -> None:
        """Find out what need not run on predicted steps; a compiler finds it out by itself."""
        # What is offloaded is fetched in the order of the modules, so all of them run.
        if self._tap is not Tap.OUTPUT and self._verified and not self._is_offloaded:
            self._unread.learn(*_asked(given), partial(self._bypass_on_copies, given, used))

    def _at_output(self, output: Any, given: Given, computed: Callable[[Tensor], Tensor]) -> tuple[Any, Tensor]:
        wrapper = self._wrappers[given.return_dict] = wrapper_like(output)
        feature = unwrap(output)
        check_whole(feature)
        used = computed(feature)
        return (output if used is feature else wrapper(used.clone())), used

    def _verify(self, feature: Tensor, output: Any, given: Given) -> None:
        verify(self._model, self._adapter, output, partial(self._bypass_on_copies, given, feature))
        self._verified = True

    def _bypass_on_copies(self, given: Given, feature: Tensor) -> Any:
        """Beside the run: a head may write to what it is given, so each time it gets copies."""
        return self._bypass_uncompiled(_copy(given), feature.detach().clone())

    def _bypass(self, given: Given, feature: Tensor) -> Any:
        variants = None if self._tap is Tap.OUTPUT else self._variants()
        if variants is None or not variants.is_checked:
            return self._bypass_uncompiled(given, feature)
        feature = self._head.rejoined(feature, given.latent.shape)
        try:
            output, _, calls = variants.bypassed(self._model, given.latent, feature, given.args, given.kwargs)
        except Exception as error:
            self._explain(error)
            raise
        self._head.expect_one(calls)
        return output

    def _bypass_uncompiled(self, given: Given, feature: Tensor) -> Any:
        self._head.begin(given.latent, feature)
        shown = self._blocks.bypass()
        try:
            with past_the_blocks(self._model) if self._is_offloaded else self._unread.rest(*_asked(given)):
                output = self.forward(*given.args, **given.kwargs)
        except Exception as error:
            self._explain(error)
            raise
        finally:
            self._blocks.restore(shown)
        self._head.check()
        return output

    def _explain(self, error: Exception) -> None:
        if not isinstance(error, LesaError):
            self._blocks.failed(error)


def _asked(given: Given) -> tuple[Tensor, tuple[Any, ...], dict[str, Any]]:
    return given.latent, given.args, given.kwargs


def _copy(given: Given) -> Given:
    return given._replace(args=copied(given.args), kwargs=copied(given.kwargs))
