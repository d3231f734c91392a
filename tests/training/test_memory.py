"""A training command keeps the memory that it frees."""

import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FREE_A_TENSOR = """
import re, sys, torch
from training.memory import keep_freed_memory

def resident_mb():
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024

if sys.argv[1] == "keep":
    assert keep_freed_memory()
tensor = torch.ones(50_000_000)
held = resident_mb()
del tensor
print(held - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize(("how", "is_kept"), [("keep", True), ("as usual", False)])
def test_freed_memory_stays_with_the_process_once_it_is_told(how, is_kept):
    command = [sys.executable, "-c", FREE_A_TENSOR, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (float(done.stdout) < 50) is is_kept  # of 200 MB
