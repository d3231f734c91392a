"""The toy network under its names, one thread, a save after every step, no progress bars."""

import os

import pytest
import torch
import toy

from training import engine

os.environ["TQDM_DISABLE"] = "1"  # in the processes that tests start, too


@pytest.fixture(autouse=True)
def toy_settings(monkeypatch):
    monkeypatch.setattr(engine, "SAVE_EVERY_S", 0)
    for name, build in toy.BUILDERS.items():
        monkeypatch.setitem(engine.NETWORKS, name, build)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
