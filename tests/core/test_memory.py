"""Freed memory stays with the process when it is asked to keep it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from blemish.core.memory import peak_mb

CODE = """
import sys
from blemish.core.memory import keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

if sys.argv[1] == "keep":
    print(keep_freed_memory())
else:
    print(False)
for _ in range(3):
    block = bytearray(48 * 2**20)
before = resident()
del block
print(before - resident())
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


def freed(word: str, **more: str) -> tuple[bool, float]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | more
    done = subprocess.run(
        [sys.executable, "-c", CODE, word], env=environment, capture_output=True, text=True, check=True
    )
    kept, megabytes = done.stdout.split()
    return kept == "True", float(megabytes)


@glibc
def test_freed_memory_is_kept_when_asked() -> None:
    assert freed("leave")[1] > 40
    kept, megabytes = freed("keep")
    assert kept
    assert megabytes < 5


@glibc
def test_what_the_environment_says_is_left() -> None:
    kept, megabytes = freed("keep", MALLOC_TRIM_THRESHOLD_="131072", MALLOC_MMAP_THRESHOLD_="131072")
    assert not kept
    assert megabytes > 40


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's own peak")
def test_the_peak_is_this_programs_own() -> None:
    """A small program started by a large one does not report the large one's peak."""
    held = np.ones(2**25)  # 256 MB
    code = "from blemish.core.memory import peak_mb, resident_mb; print(resident_mb(), peak_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    resident, peak = map(float, done.stdout.split())
    assert 0 < resident <= peak < 200
    assert peak_mb() > held.nbytes / 2**20
