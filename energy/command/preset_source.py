"""Hydra's view of a folder of presets: plain YAML that is measured before it is used, and names nothing but itself."""

import os
import re
from pathlib import Path
from typing import Any, Final

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from energy.command import trust
from energy.component import ConfigurationError
from energy.errors import shown
from energy.io.plain_yaml import read_yaml

PACKAGE: Final = re.compile(r"#\s*@package\s+([\w.]{1,100})\s*")


class PresetSource(ConfigSource):
    """A folder of presets, known to Hydra as `presets:///folder`; the files in it may come from anyone."""

    @staticmethod
    def scheme() -> str:
        """Return the beginning of its addresses."""
        return "presets"

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one file.

        Raises:
            ConfigurationError: for a file that is no plain YAML of fields, or that is not to be trusted.
            ConfigLoadError: when there is no such file.
        """
        path = self._place(self._normalize_file_name(config_path))
        if not path.is_file():
            raise ConfigLoadError(f"{shown(path)}: there is no such file")
        values = read_yaml(path)
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ConfigurationError(f"{shown(path)}: must hold fields, such as seed: 1")
        package = _package(path)
        trust.refuse_preset(values, package or "", shown(path))
        where = f"{self.scheme()}://{self.path}"
        header = {"package": package}
        return ConfigResult(provider=self.provider, path=where, config=OmegaConf.create(values), header=header)

    def available(self) -> bool:
        """Return True if the folder is there."""
        return self.is_group("")

    def is_group(self, config_path: str) -> bool:
        """Return True for a folder in it."""
        return self._place(config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        """Return True for a file in it."""
        return self._place(self._normalize_file_name(config_path)).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the names in one of its folders."""
        files: list[str] = []
        for name in sorted(os.listdir(self._place(config_path))):
            path = os.path.join(config_path, name)
            self._list_add_result(files=files, file_path=path, file_name=name, results_filter=results_filter)
        return sorted(set(files))

    def _place(self, name: str) -> Path:
        return Path(self.path) / name.lstrip("/")


def _package(path: Path) -> str | None:
    """The package that the comments at the beginning of a file name."""
    found: Any = None
    with path.open(encoding="utf-8") as file:
        for line in file.read(512).splitlines():
            text = line.strip()
            if text.startswith("#") and text.lstrip("# ").startswith("@"):
                match = PACKAGE.fullmatch(text)
                if match is None:
                    raise ConfigurationError(f"{shown(path)}: {shown(text)}: must be `# @package NAME`")
                found = match[1]
            elif text:
                break
    return found
