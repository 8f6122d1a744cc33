"""From a command line to checked components: compose, refuse code, build; nothing else is touched on the way.

Hydra composes the defaults list, the presets and the overrides into plain values. Its job runner is not used: a sweep
is a loop here, after every one of its runs has been built, and nothing is written outside the run folders.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from hydra.core.config_store import ConfigStore

from energy.command import trust
from energy.command.arguments import Arguments
from energy.command.composition import composed, composing
from energy.command.files import include
from energy.command.interpolation import resolved
from energy.command.needs import supply
from energy.command.overrides import Job, expand, rewrite
from energy.command.presets import EXPERIMENT, looked_in, presets
from energy.component import Component, ConfigurationError, annotations, choices, from_dict
from energy.train.terminal import say
from energy.values import format_value

C = TypeVar("C", bound=Component)

LONGEST: Final = 255  # bytes in the name of a folder


def plan(base: type[C], config: str, line: Arguments, quiet: bool = False) -> list[C]:
    """Build and check every run that a command line asks for.

    Settings that a settler needs are filled in if nothing is set there (`energy.command.needs`), and printed.

    Args:
        base: the class of the whole configuration, such as `Run`.
        config: the name of the primary file in `configs`.
        line: the command line; its plug-ins are imported already.
        quiet: leave the settings that are filled in unsaid.

    Returns:
        The runs, in the order of the sweep.

    Raises:
        ConfigurationError: for the first mistake in any of the runs.
    """
    folders = looked_in(line)
    groups = store(base, folders)
    texts = [rewrite(text, base, groups) for text in line.rest]
    with composing(folders):
        bare = _bare(config, tuple(folders))
        first = expand(texts, groups, line.sweep)[0]
        swept = _params(composed(config, first.overrides)["hydra"]) if line.sweep else {}
        mentioned = {text.key_or_group for text in texts}
        texts += [rewrite(f"{name}={values}", base, groups) for name, values in swept.items() if name not in mentioned]
        jobs = expand(texts, groups, line.sweep)
        plain = [_plain(config, job.overrides, bare) for job in jobs]
    for values in plain:
        include(base, values)
    _spread(jobs, plain)
    for told in dict.fromkeys(supply(base, values) for values in plain):
        say(bool(told) and not quiet, f"energy: {told}")
    return [from_dict(base, values, path="") for values in plain]


def store(base: type[Component], folders: Iterable[Path] = ()) -> dict[str, list[str]]:
    """Give Hydra a node for every registered component that a field of `base` may hold.

    Args:
        base: the class of the whole configuration.
        folders: further folders of presets.

    Returns:
        The names that can be chosen in every group: components, and presets found in files.
    """
    places = list(folders)
    groups = {EXPERIMENT: presets(places, EXPERIMENT)}
    for field, kind in annotations(base).items():
        if inspect.isclass(kind) and issubclass(kind, Component) and choices(kind):
            for name in choices(kind):
                ConfigStore.instance().store(group=field, name=name, node={"name": name})
            groups[field] = sorted({*choices(kind), *presets(places, field)})
    return groups


@functools.cache
def _bare(config: str, folders: tuple[Path, ...]) -> Mapping[str, Any]:
    """The node `hydra` of our own files, which overrides do not change."""
    return composed(config, [])["hydra"]


def _plain(config: str, overrides: Sequence[str], bare: Mapping[str, Any]) -> dict[str, Any]:
    values = composed(config, overrides)
    hydra = values.pop("hydra", None) or {}
    trust.refuse_code(hydra, bare, values)
    return resolved(values)


def _params(hydra: Mapping[str, Any]) -> dict[str, Any]:
    """The sweep of an experiment file: `hydra.sweeper.params`, a mapping from names to values with commas."""
    sweeper = hydra.get("sweeper") if isinstance(hydra, Mapping) else None
    params = (sweeper.get("params") if isinstance(sweeper, Mapping) else sweeper) or {}
    if not isinstance(params, Mapping) or any(isinstance(value, Mapping | list) for value in params.values()):
        raise ConfigurationError(
            f"hydra.sweeper.params={format_value(params)}: must be names with values, such as seed: 0,1,2"
        )
    return {str(name): value for name, value in params.items()}


def _spread(jobs: Sequence[Job], plain: Sequence[dict[str, Any]]) -> None:
    """In a sweep over one `out`, give every run a folder of its own inside it."""
    outs = [str(values.get("out") or "") for values in plain]
    for job, values, out in zip(jobs, plain, outs, strict=True):
        if out and outs.count(out) > 1:
            values["out"] = f"{out}/{_name(','.join(job.varied).replace('/', '-'))}"


def _name(text: str) -> str:
    """The name of a folder, at most the 255 bytes of file systems; a longer one is cut and ends in its hash."""
    if len(text.encode()) <= LONGEST:
        return text
    ending = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    return f"{text.encode()[: LONGEST - 11].decode(errors='ignore')}-{ending}"
