"""Energy that the hardware has drawn, from its own counters: processor packages by RAPL, NVIDIA devices by NVML.

A counter is that of the whole package or device: what other processes draw meanwhile is in it, and idle power too.
Packages leave out memory, disks and fans; devices leave out the host.

Reference:
    The Linux kernel's documentation of the power capping framework (`/sys/class/powercap`), and NVIDIA's of
    `nvmlDeviceGetTotalEnergyConsumption`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from energy.errors import UsageError

POWERCAP: Final = Path("/sys/class/powercap")
MICRO: Final = 1e-6  # J of RAPL's unit
MILLI: Final = 1e-3  # J of NVML's
Counter = tuple[Callable[[], int], int | None]  # reads a raw count; the range after which it begins again at 0


class Meter:
    """A sum of energy counters that only grow, in joules since the meter was made.

    A counter that is lower than at the last look has begun again once. Where a whole range was drawn between two looks
    the reading is too low: at 200 W a range of 262 kJ, a usual one, lasts 22 minutes.

    Args:
        counters: for each counter a function that reads it, and the range after which it begins again, or None.
        unit: joules per count.

    Raises:
        UsageError: when there is no counter.
    """

    def __init__(self, counters: Sequence[Counter], unit: float) -> None:
        if not counters:
            raise UsageError("counters=[]: must have at least one")
        self.counters = list(counters)
        self.unit = unit
        self._last = [count() for count, _ in self.counters]
        self._total = 0

    def read(self) -> float:
        """Return the joules drawn since the meter was made."""
        for place, (count, span) in enumerate(self.counters):
            now = count()
            gone = now - self._last[place]
            self._total += gone + span if gone < 0 and span is not None else gone
            self._last[place] = now
        return self._total * self.unit


def meter(device: torch.device, *, powercap: Path = POWERCAP, nvml: Any = None) -> Meter | None:
    """Return a meter of the processor's packages, or of one CUDA device.

    Since 2020 Linux lets only root read RAPL; `chmod a+r` on `energy_uj` allows it to all users of a machine.

    Args:
        device: `cpu` or `cuda`.
        powercap: the folder of the power capping framework.
        nvml: the module `pynvml`, imported if it is None (extra `energy-meter`).

    Returns:
        None where there is no counter, where it may not be read, and where `pynvml` is not installed.
    """
    if device.type == "cpu":
        return _of_packages(powercap)
    return _of_cuda(device, nvml or _pynvml()) if device.type == "cuda" else None


def _of_packages(powercap: Path) -> Meter | None:
    """All zones called package-N; those within them, and the whole platform (psys), would count twice."""
    try:
        zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _text(zone / "name").startswith("package-")]
        counters = [(_counter(zone / "energy_uj"), int(_text(zone / "max_energy_range_uj"))) for zone in zones]
        return Meter(counters, MICRO) if counters else None
    except (OSError, ValueError):
        return None


def _counter(path: Path) -> Callable[[], int]:
    return lambda: int(_text(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _pynvml() -> Any:
    try:
        import pynvml  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError:
        return None
    return pynvml


def _of_cuda(device: torch.device, nvml: Any) -> Meter | None:
    """NVML numbers all devices of the machine, CUDA those it may see: the identity that both know is the UUID."""
    if nvml is None:
        return None
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return Meter([(lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)), None)], MILLI)
    except nvml.NVMLError:
        return None
