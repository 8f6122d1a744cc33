"""Hydra, set up to compose files that anyone may have written.

Every file is read as a preset, no resolver is known, a list of defaults leads to a bounded number of files inside the
folders of presets, and whatever Hydra, OmegaConf or their parsers raise becomes one line.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathElement
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from energy.command.preset_source import PresetSource
from energy.command.trust import no_resolvers
from energy.component import ConfigurationError
from energy.errors import EnergyError, shown
from energy.train.registration import package_folder

MOST: Final = 1000  # files that the lists of defaults of one configuration lead to, each counted as often as it is used
LONGEST: Final = 200  # letters of the name of a preset


@contextmanager
def composing(folders: Iterable[Path]) -> Iterator[None]:
    """Set Hydra up for `composed`, within the context.

    Args:
        folders: further folders of presets, as absolute paths; the library's own comes first.
    """
    own = str(package_folder("configs"))
    with initialize_config_dir(own, version_base="1.3", job_name="energy"), no_resolvers():
        SourcesRegistry.instance().register(PresetSource)
        search = create_config_search_path(f"{PresetSource.scheme()}://{own}")
        further = [SearchPathElement("presets", f"{PresetSource.scheme()}://{folder}") for folder in folders]
        search.get_path()[-1:-1] = further  # Hydra wants its own last
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.config_loader = _Loader(search)
        yield


def composed(config: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Compose plain values, interpolations unresolved, with Hydra's own node `hydra`.

    Args:
        config: the name of the primary file.
        overrides: in the form of Hydra.

    Raises:
        ConfigurationError: for any mistake in a file or an override.
    """
    try:
        found = compose(config, overrides=list(overrides), return_hydra_config=True)
        return cast("dict[str, Any]", OmegaConf.to_container(found, resolve=False))
    except EnergyError:
        raise
    except Exception as error:  # of Hydra, OmegaConf and their parsers; nothing of ours runs in there
        raise ConfigurationError(one_line(error)) from None


def one_line(error: BaseException) -> str:
    """Return what Hydra or a library below it says, without the list of places that were searched."""
    if isinstance(error, RecursionError):
        return "the configuration nests or refers to itself too deep"
    told = str(error).partition("earch path:")[0].removesuffix("Config s").removesuffix("S")
    lines = [text.strip() for text in told.splitlines() if text.strip()]
    kind = "" if type(error).__module__.partition(".")[0] in ("hydra", "omegaconf") else f"{type(error).__name__}: "
    if not lines:
        return f"the configuration cannot be composed ({type(error).__name__})"
    return f"{kind}{'; '.join(shown(line) for line in lines[:2])}"


class _Loader(ConfigLoaderImpl):
    """Hydra's loader over a bounded repository."""

    def _parse_overrides_and_create_caching_repo(self, config_name: str | None, overrides: list[str]) -> Any:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        return parsed, _Bounded(repository)


class _Bounded(IConfigRepository):
    """A repository that gives out a bounded number of files, all of them inside its folders."""

    def __init__(self, inner: IConfigRepository) -> None:
        self.inner, self.given = inner, 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        self.given += 1
        if self.given > MOST:
            raise ConfigurationError(
                f"defaults of {shown(config_path)}: lead to more than {MOST} files; does a file name itself?"
            )
        return self.inner.load_config(_inside(config_path))

    def group_exists(self, config_path: str) -> bool:
        return self.inner.group_exists(_inside(config_path))

    def config_exists(self, config_path: str) -> bool:
        return self.inner.config_exists(_inside(config_path))

    def get_group_options(self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG) -> list[str]:
        return self.inner.get_group_options(_inside(group_name), results_filter)

    def get_schema_source(self) -> ConfigSource:
        return self.inner.get_schema_source()

    def get_sources(self) -> list[ConfigSource]:
        return self.inner.get_sources()

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        self.inner.initialize_sources(config_search_path)


def _inside(name: str) -> str:
    """The name of a preset, if it leads nowhere else."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or len(name) > LONGEST or not name.isprintable() or "\\" in name:
        raise ConfigurationError(f"{shown(name)}: is no name of a preset; must lead to a file in a folder of presets")
    return name
