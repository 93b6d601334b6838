"""Build qemu's plugin that counts instructions, once for each version of its interface."""

from __future__ import annotations

import platform
from pathlib import Path

from ashore.cache import cache_folder
from ashore_runtimes.cache import made_once
from ashore_runtimes.runner.native_build import build_key, files_of, require_programs, run_tool, source_folder

PLUGIN = "libashore_count.so"
_COMPILER = "gcc"
_PRODUCT = "qemu's instruction counter"
_WITHOUT = "models still run on the emulator; only their instructions are not counted"
_FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")


def plugin_build(interface: int) -> Path:
    """The plugin for this machine's qemu.

    Args:
        interface: number of qemu's plugin interface: 1, 2, or 3 for all later ones.

    Raises:
        TargetUnavailable: the compiler is missing or fails.
    """
    sources = source_folder() / "qemu_plugin"
    key = build_key([*files_of(sources), sources.parent / "counting_marks.h"], _COMPILER)
    folder = cache_folder() / "native" / f"{platform.machine()}-qemu{interface}-{key}"
    return made_once(folder, lambda staging: _compile(sources, interface, staging / PLUGIN)) / PLUGIN


def _compile(sources: Path, interface: int, plugin: Path) -> None:
    require_programs(_COMPILER, product=_PRODUCT)
    programs = [str(path) for path in files_of(sources) if path.suffix == ".c"]
    flags = [*_FLAGS, f"-DASHORE_QEMU_API={interface}", f"-ffile-prefix-map={sources}=qemu_plugin"]
    run_tool([_COMPILER, *flags, "-o", str(plugin), *programs], _PRODUCT, _WITHOUT)
