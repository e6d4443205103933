"""Fixtures: the bundled model, opened once, and the demonstration's picture."""
from pathlib import Path

import pytest

import qwen3_5

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def model():
    with qwen3_5.load_model('qwren-nano') as opened:
        yield opened


@pytest.fixture(scope='session')
def shapes():
    return ROOT / 'models' / 'demo' / 'shapes.png'
