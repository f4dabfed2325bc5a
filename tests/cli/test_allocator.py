"""Freed memory stays with the process where that is asked for, and goes back where it is not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HELD_AFTER = """
import sys
from revela.cli import allocator
assert getattr(allocator, sys.argv[1])()
import torch
def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024
blocks = [torch.ones(16 * 2**20) for _ in range(4)]  # 64 MiB each
full = resident()
del blocks
print(round(full - resident()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the switches are glibc's")
@pytest.mark.parametrize(
    ("function", "given_back"), [("keep_freed_memory", False), ("return_freed_memory", True)]
)
def test_memory_is_kept_or_given_back(function, given_back):
    done = subprocess.run(
        [sys.executable, "-c", HELD_AFTER, function], capture_output=True, text=True, check=True
    )
    mebibytes = int(done.stdout)
    assert mebibytes > 200 if given_back else mebibytes < 50
