"""What a processor is, for pages that time something: its name says little, what it can do with small numbers much."""

from __future__ import annotations

from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8")


def processor() -> str:
    """Return the processor's name, and which of the instructions that matter here it has (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in lines.items()}
    has = [flag for flag in FLAGS if flag in known.get("flags", "").split()]
    family = f" family {known['cpu family']} model {known['model']}" if {"cpu family", "model"} <= known.keys() else ""
    return f"{known.get('model name', 'unknown processor')}{family} ({', '.join(has) or 'none of ' + ', '.join(FLAGS)})"
