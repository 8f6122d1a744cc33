"""Everything registered is on the table before tests are collected; what a test registers leaves it again."""

import importlib
import os
import pkgutil
from collections.abc import Iterator

import pytest

import energy.models
import energy.objectives
import energy.relax
import energy.rules
import energy.settle
import energy.spiking
from energy.component import Component
from energy.train.registration import register_builtins

for _package in (energy.relax, energy.rules, energy.settle, energy.spiking, energy.models):
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)


@pytest.fixture
def restored_table() -> Iterator[None]:
    register_builtins()  # else what the test is first to import would be gone for good
    before = dict(Component.registry)
    yield
    Component.registry.clear()
    Component.registry.update(before)


@pytest.fixture(scope="session")
def device() -> str:
    return os.environ.get("ENERGY_TEST_DEVICE", "cpu")
