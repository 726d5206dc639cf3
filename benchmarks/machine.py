"""What the figures were measured on: the code's commit, the machine, the libraries."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from heteroscope.provenance import versions

ROOT = Path(__file__).parents[1]
CODE = ("workflow", "rules", "Snakefile", "config", "requirements.lock", "benchmarks/*.py")
LIBRARIES = (
    "torch",
    "torchvision",
    "openvino",
    "numpy",
    "h5py",
    "pillow",
    "scikit-learn",
    "pytorch-lightning",
    "snakemake",
)
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "asimd", "bf16")


def commit() -> str:
    """The newest commit that changed code, marked where the working tree holds other code; "unknown" without git."""
    try:
        found = _git("log", "-1", "--format=%h", "--", *CODE)
        return f"{found} with changes that are not committed" if _git("status", "--porcelain", "--", *CODE) else found
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def facts() -> dict[str, str]:
    """The machine in words, without anything that two runs on it would not share."""
    cpu = _first("/proc/cpuinfo", r"model name\s*: (.*)") or platform.processor() or platform.machine()
    family = _first("/proc/cpuinfo", r"cpu family\s*: (.*)")
    flags = set((_first("/proc/cpuinfo", r"(?:flags|Features)\s*: (.*)") or "").split())
    memory = int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20
    return {
        "processor": f"{cpu}, family {family}" if family else cpu,
        "cores": str(cores()),
        "memory": f"{memory:.0f} GiB",
        "instruction sets": ", ".join(name for name in INSTRUCTIONS if name in flags) or "unknown",
        "GPU": gpu_name() or "none",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version}" for name, version in versions(*LIBRARIES).items()),
    }


def gpu_name() -> str:
    """The name of the GPU that torch sees; empty without one."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def _first(path: str, pattern: str) -> str:
    file = Path(path)
    found = re.search(pattern, file.read_text(encoding="utf-8")) if file.is_file() else None
    return found[1].strip() if found else ""
