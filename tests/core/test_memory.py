"""Freed memory stays with the process when it is asked to keep it."""

import os
import platform
import subprocess
import sys

import pytest

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
