"""Energy counters against a power capping folder and an NVML that are made up."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from energy.errors import UsageError
from energy.study.joules import Meter, meter

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)
RANGE = 262_143_328_850


def _zone(root: Path, zone: str, name: str, micro: int, span: int = RANGE) -> Path:
    folder = root / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    (folder / "energy_uj").write_text(f"{micro}\n")
    return folder / "energy_uj"


def test_packages_are_summed_and_nothing_counts_twice(tmp_path: Path) -> None:
    first = _zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = _zone(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    others = [_zone(tmp_path, "intel-rapl:0:0", "core", 0), _zone(tmp_path, "intel-rapl:2", "psys", 0)]
    found = meter(CPU, powercap=tmp_path)
    assert found is not None and found.read() == 0.0
    first.write_text("6500000\n")
    second.write_text("9000000\n")
    for other in others:
        other.write_text("999999999\n")
    assert found.read() == pytest.approx(1.5 + 2.0)
    second.write_text("9250000\n")
    assert found.read() == pytest.approx(3.75) == found.read()


def test_a_counter_that_begins_again_has_gone_through_its_range(tmp_path: Path) -> None:
    counter = _zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 2_000_000)
    found = meter(CPU, powercap=tmp_path)
    assert found is not None
    for micro, joules in ((1_000_000, 3.0), (4_000_000, 6.0), (500_000, 6.0 + RANGE * 1e-6 - 3.5)):
        counter.write_text(f"{micro}\n")
        assert found.read() == pytest.approx(joules)


def test_where_nothing_can_be_read_there_is_no_meter(tmp_path: Path) -> None:
    assert meter(CPU, powercap=tmp_path / "none") is None
    _zone(tmp_path / "platform", "intel-rapl:0", "psys", 5)
    assert meter(CPU, powercap=tmp_path / "platform") is None
    _zone(tmp_path / "closed", "intel-rapl:0", "package-0", 5).unlink()
    (tmp_path / "closed" / "intel-rapl:0" / "energy_uj").mkdir()  # reading it fails, for root too
    assert meter(CPU, powercap=tmp_path / "closed") is None
    _zone(tmp_path / "odd", "intel-rapl:0", "package-0", 5).write_text("nothing\n")
    assert meter(CPU, powercap=tmp_path / "odd") is None
    assert meter(torch.device("meta")) is None


class Nvml:
    """Two devices by UUID, each with its millijoules."""

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules: dict[str, int]) -> None:
        self.millijoules = millijoules
        self.begun = False

    def nvmlInit(self) -> None:
        self.begun = True

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert self.begun
        if uuid not in self.millijoules:
            raise self.NVMLError("not found")
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.millijoules[handle] < 0:
            raise self.NVMLError("not supported")
        return self.millijoules[handle]


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def properties(device: torch.device) -> Any:
        return SimpleNamespace(uuid=("aaaa", "bbbb")[device.index])

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)


@pytest.mark.usefixtures("devices")
def test_a_device_is_found_by_its_identity() -> None:
    nvml = Nvml({"GPU-aaaa": 0, "GPU-bbbb": 40_000})
    found = meter(CUDA, nvml=nvml)
    assert found is not None
    nvml.millijoules = {"GPU-aaaa": 77_000, "GPU-bbbb": 42_500}
    assert found.read() == pytest.approx(2.5)


@pytest.mark.usefixtures("devices")
def test_a_device_without_a_counter_has_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert meter(CUDA, nvml=Nvml({"GPU-bbbb": -1})) is None
    assert meter(CUDA, nvml=Nvml({})) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter(CUDA) is None


@pytest.mark.usefixtures("devices")
def test_the_module_is_imported_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml({"GPU-bbbb": 1}))
    assert isinstance(meter(CUDA), Meter)


def test_a_meter_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Meter([], 1.0)


@pytest.mark.gpu
def test_a_device_at_work_draws_power() -> None:
    """Between a watt and two kilowatts, over about a second of products."""
    import time

    pytest.importorskip("pynvml")
    found = meter(torch.device("cuda", 0))
    if found is None:
        pytest.skip("the device has no counter")
    x, start = torch.randn(4096, 4096, device="cuda"), time.perf_counter()
    before = found.read()
    while time.perf_counter() - start < 1:
        (x @ x).sum().item()
    assert 1 < (found.read() - before) / (time.perf_counter() - start) < 2000
