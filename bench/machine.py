"""What a measurement has to say about where it was taken."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers


def describe_machine(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Processor, memory, versions and threads; keys are words to be read."""
    found = {
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "threads": torch.get_num_threads(),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "unset"),
        "dtype": str(dtype).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        found["memory of the GPU"] = (
            f"{torch.cuda.get_device_properties(device).total_memory / 2**30:.0f} GiB"
        )
    return found


def machine_line(machine: Mapping[str, Any]) -> str:
    """What :func:`describe_machine` found, as a line under a table.

    >>> machine_line({"cores": 2, "dtype": "float32"})
    'cores 2, dtype float32'
    """
    return ", ".join(f"{key} {value}" for key, value in machine.items())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
