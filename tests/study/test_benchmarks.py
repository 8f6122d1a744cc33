"""The figure of benchmark records: what it shows, and how `energy plot` finds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from energy.command.figures import draw_folder
from energy.component import ConfigurationError
from energy.plots.benchmarks import Bars, Curves, draw_benchmarks


def _record(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    made = {"device_name": "some processor", "threads": 2, "torch": "2", "commit": "abc"}
    return {"benchmark": name, **made, "rows": list(rows)}


def _timed(name: str, ratio: float) -> dict[str, Any]:
    spread = {"ratio": ratio, "ratio_low": ratio - 0.1, "ratio_high": ratio + 0.2}
    return {"group": "MLP", "dtype": "float32", "name": name, "seconds": ratio, "reference": "backprop", **spread}


def _records() -> dict[str, dict[str, Any]]:
    angles = [
        {"kind": "angle", "group": group, "name": name, "backprop_steps": price, "cosine": cosine}
        for group in ("γ = 1, c = 0.577", "γ = 1, c = 1")
        for name, price, cosine in (("held, 2 + 1", 3.2, 0.8), ("held, 8 + 4", 10.6, 0.99), ("two phases", 62.0, 0.9))
    ]
    shared = {"group": "VGG", "name": "dual propagation"}
    scaling = [{"axis": "batch", "at": at, "ratio": 1 + 1 / at, **shared} for at in (16, 32, 64)]
    scaling += [{"axis": "gamma", "at": at, "backprop_steps": 20 * at, **shared} for at in (0.1, 1.0)]
    scaling += [{"axis": "beta", "at": at, "cosine": 1 - at**2, **shared} for at in (0.001, 0.1)]
    curve = [
        {"name": "run", "epoch": epoch, "seconds_total": 3.0 * epoch, "accuracy": 80.0 + epoch} for epoch in (1, 2, 3)
    ]
    return {
        "dual_propagation": _record("dual_propagation", _timed("backprop", 1.0), _timed("dual propagation", 1.1)),
        "equilibrium": _record("equilibrium", {"kind": "price", "name": "held, 2 + 1"}, *angles),
        "scaling": _record("scaling", *scaling),
        "accuracy": _record("accuracy", *curve),
    }


def test_one_panel_for_each_kind_of_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios, angles, batch, γ, β and accuracy; the reference itself has no bar, and no number is lost on the way."""
    pytest.importorskip("matplotlib")
    seen: list[Any] = []
    for kind in (Bars, Curves):
        real = kind.draw
        monkeypatch.setattr(kind, "draw", lambda self, axes, real=real: (seen.append(self), real(self, axes))[1])
    png = draw_benchmarks(_records(), tmp_path / "bench.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    bars, lines = [one for one in seen if isinstance(one, Bars)], [one for one in seen if isinstance(one, Curves)]
    assert [[row["name"] for row in one.rows] for one in bars] == [["dual propagation"]]
    shown = {one.label: one.lines for one in lines}
    assert shown["batch"] == {"VGG, dual propagation": [(16, 1 + 1 / 16), (32, 1 + 1 / 32), (64, 1 + 1 / 64)]}
    assert shown["feedback gain γ"] == {"VGG": [(0.1, 2.0), (1.0, 20.0)]}
    assert shown["nudge β"]["dual propagation"][1] == pytest.approx((0.1, 0.01))
    assert shown["seconds since the start"] == {"run": [(3.0, 81.0), (6.0, 82.0), (9.0, 83.0)]}
    angles = shown["back-propagation steps, counted"]
    assert angles["γ = 1, c = 1"] == [(3.2, 0.8), (10.6, 0.99)] and angles["two phases"] == [(62.0, 0.9)] * 2


def test_a_folder_of_records_is_found(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name, record in _records().items():
        (tmp_path / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    assert list(draw_folder(tmp_path)) == [tmp_path / "bench.png"]
    assert (tmp_path / "bench.png").stat().st_size > 0


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="nor records of benchmarks"):
        list(draw_folder(tmp_path))
    with pytest.raises(ValueError, match="hold nothing that is drawn"):
        draw_benchmarks({"data": _record("data")}, tmp_path / "bench.png")
