"""Maps with several forms, equal up to rounding, the fastest of which is measured once and remembered.

    with fused():
        rule.learn(network, settler, x, target, objective)  # measures what it meets for the first time
    chosen_forms()  # {"matmul float32(128, 784) …": "oneDNN", …}

A choice is made per map, shapes, layouts, dtype, threads, torch and processor, inside `energy.kernels.fused` alone, on
CPUs alone (cuDNN chooses by itself), and above `LEAST` multiply-adds. It is kept in the process and on the disk. While
torch traces, under autograd and with deterministic algorithms nothing is measured.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from energy.couplings.forms import store
from energy.couplings.forms.measure import fastest
from energy.couplings.forms.memo import Memo
from energy.kernels import active
from energy.tracing import Opaque, tracing

LEAST: Final = 1 << 24  # multiply-adds below which no form could win back the time that choosing takes
_preferred: ContextVar[str | None] = ContextVar("preferred", default=None)
_on_trial: ContextVar[bool] = ContextVar("on_trial", default=False)
_named: dict[str, str] = {}  # what this process has chosen or loaded, by what a reader can make sense of
_known: dict[tuple[Any, ...], str] = {}  # the same by what is quick to look up
_elsewhere: dict[str, dict[str, str]] = {}  # what the run that is continued has chosen on other kinds of machines


def chosen_forms() -> dict[str, str]:
    """Return the form of every map that this process has chosen or loaded, by map, tensors and geometry."""
    return dict(_named)


def load_forms(chosen: Mapping[str, str]) -> None:
    """Take these choices over, as `chosen_forms` returned them, in place of any that this process has made."""
    _named.update(chosen)
    _known.clear()


def forget_forms() -> None:
    """Forget the choices of this process; those on the disk remain."""
    _named.clear()
    _known.clear()
    _elsewhere.clear()


def held_forms() -> dict[str, dict[str, str]]:
    """Return the choices of this process, and those taken over from a checkpoint, by the machine they hold for."""
    own = {store.environment(): dict(_named)} if _named else {}
    return {**_elsewhere, **own}


def resume_forms(held: Mapping[str, Mapping[str, str]] | None, path: Path) -> None:
    """Take over the choices that a checkpoint holds; of one that holds none, as of before, those recorded in `path`.

    Args:
        held: as `held_forms` returned them.
        path: the record, which anyone may have changed without being noticed.
    """
    if held is None:
        recall_forms(path)
        return
    _elsewhere.update({name: dict(chosen) for name, chosen in held.items() if name != store.environment()})
    load_forms(held.get(store.environment(), {}))


def record_forms(path: Path) -> None:
    """Write the choices of this process to `path`, if it has made any."""
    if _named:
        store.write_choices(path, _named)


def recall_forms(path: Path) -> None:
    """Take over the choices recorded in `path`, if there is such a file and it was written on this kind of machine."""
    load_forms(store.read_choices(path))


@contextmanager
def prefer(form: str) -> Iterator[None]:
    """Use the form of this name while the context lasts, for every map that has it and admits it.

    Nothing is measured, and maps without it take their fixed form: `prefer("library")` is torch's own operators.
    """
    token = _preferred.set(form)
    try:
        yield
    finally:
        _preferred.reset(token)


def _always(*given: Any) -> bool:
    return True


class Form(NamedTuple):
    """One way to compute a map.

    Attributes:
        run: called as run(*given, memo).
        admits: called as admits(*given); false where the form does not apply.
    """

    run: Callable[..., Any]
    admits: Callable[..., bool] = _always


class Choice:
    """A map in several forms.

    Args:
        name: what it is called in `chosen_forms`.
        forms: by name.
        work: multiply-adds of a call, called as work(*given).
        fixed: the form that runs where none is chosen.
        pairs: the result is a tensor and another, or None in its place; otherwise one tensor.
        whole: a recorded program calls the fixed form too rather than takes it apart.
    """

    def __init__(
        self,
        name: str,
        forms: Mapping[str, Form],
        work: Callable[..., int],
        *,
        fixed: str = "library",
        pairs: bool = False,
        whole: bool = False,
    ) -> None:
        self.name, self.forms = name, dict(forms)
        self.work, self.fixed = work, fixed
        self.pairs, self.whole = pairs, whole
        self._calls: dict[str, Opaque] = {}

    def __call__(self, *given: Any, memo: Memo | None = None) -> Any:
        """Return the map of `given`, by the form chosen for it."""
        if torch.compiler.is_compiling():  # torch.compile of a network looks into the fixed form alone
            return self.forms[self.fixed].run(*given, Memo())
        form = self.form(*given)
        if tracing() is not None and (form != self.fixed or self.whole):
            return self._recorded(form, given)
        return self.forms[form].run(*given, Memo() if memo is None else memo)

    def form(self, *given: Any) -> str:
        """Return the name of the form that a call with `given` would run, after a measurement if need be."""
        preferred = _preferred.get()
        if preferred is not None:
            return preferred if preferred in self.forms and self.forms[preferred].admits(*given) else self.fixed
        if not (active() and given[0].is_cpu and self.work(*given) >= LEAST) or _bound(given):
            return self.fixed
        key = (self.name, torch.get_num_threads(), *map(_quick, given))
        form = _known.get(key)
        return self._decide(key, given) if form is None else form

    def _recorded(self, form: str, given: Sequence[Any]) -> Any:
        """The map as one call of the program that is being recorded."""
        constants = [None if isinstance(one, Tensor) else one for one in given]
        name = f"energy.couplings.{self.name}.{form}{constants}{[isinstance(one, Tensor) for one in given]}"
        if name not in self._calls:
            places = [k for k, one in enumerate(given) if isinstance(one, Tensor)]
            self._calls[name] = self._as_one_call(name, form, constants, places)
        found = self._calls[name]([one for one in given if isinstance(one, Tensor)])
        if self.pairs:
            return found[0], found[1] if len(found) > 1 else None
        return found[0]

    def _as_one_call(self, name: str, form: str, constants: list[Any], places: list[int]) -> Opaque:
        def call(tensors: list[Tensor]) -> list[Tensor]:
            given = list(constants)
            for place, tensor in zip(places, tensors, strict=True):
                given[place] = tensor
            found = self._alone(form, given)
            return [one for one in (found if isinstance(found, tuple) else (found,)) if one is not None]

        return Opaque(name, call, call)

    def _decide(self, key: tuple[Any, ...], given: Sequence[Any]) -> str:
        admitted = [self.fixed, *(name for name in self.forms if name != self.fixed)]
        admitted = [name for name in admitted if name == self.fixed or self.forms[name].admits(*given)]
        if len(admitted) > 1:
            name = f"{self.name} {', '.join(map(_readable, given))}, {torch.get_num_threads()} threads"
            form = _named.get(name) or store.shared_choices().get(name)
            if form not in admitted:
                if not _measurable(given):
                    return self.fixed
                form = self._fastest(admitted, given)
                store.share_choice(name, form)
            _named[name] = form
        else:
            form = self.fixed
        _known[key] = form
        return form

    def _alone(self, form: str, given: Sequence[Any]) -> Any:
        """The map by this form, with nothing shared."""
        return self.forms[form].run(*given, Memo())

    def _fastest(self, admitted: Sequence[str], given: Sequence[Any]) -> str:
        """The form that a measurement finds. Maps inside of one on trial are not measured: few of them will be used."""
        token = _on_trial.set(True)
        try:
            return fastest({form: functools.partial(self._alone, form, given) for form in admitted})
        finally:
            _on_trial.reset(token)


def _bound(given: Sequence[Any]) -> bool:
    """True where the numbers must not depend on a measurement, or a tape is written, which some forms cannot do."""
    if torch.are_deterministic_algorithms_enabled():
        return True
    return torch.is_grad_enabled() and any(one.requires_grad for one in given if isinstance(one, Tensor))


def _measurable(given: Sequence[Any]) -> bool:
    """True unless a form is on trial, torch is tracing, or these are no tensors of numbers."""
    if _on_trial.get() or torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    if torch._C._functorch.peek_interpreter_stack() is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return False
    return all(type(one) in (Tensor, nn.Parameter) for one in given if isinstance(one, Tensor))


def _quick(one: Any) -> Any:
    return (one.shape, one.stride(), one.dtype) if isinstance(one, Tensor) else one


def _readable(one: Any) -> str:
    if not isinstance(one, Tensor):
        return str(one)
    layout = "" if one.is_contiguous() else f" by {one.stride()}"
    if one.ndim == 4 and one.is_contiguous(memory_format=torch.channels_last):
        layout = " channels last"
    return f"{str(one.dtype).removeprefix('torch.')}{tuple(one.shape)}{layout}"
