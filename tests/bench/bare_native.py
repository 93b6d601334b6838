"""The libraries called directly in C++: programs of some forty lines, built against the libraries the runner uses."""

from __future__ import annotations

from pathlib import Path

from ashore.cache import cache_folder
from ashore_runtimes.cache import made_once
from ashore_runtimes.runner.native_build import build_key, host_build, run_tool, source_folder
from ashore_runtimes.runner.wheels import installed_wheels

_HERE = Path(__file__).parent
_SOURCES = [_HERE / name for name in ("bare_executorch.cpp", "bare_litert.cpp", "bare_loop.h")]
# Kernels and delegates register themselves when they are loaded; nothing refers to them.
_LIBRARIES = {
    "executorch": (
        "-Wl,--no-as-needed",
        *(f"-lexecutorch{part}" for part in ("", "_threadpool", "_backend_xnnpack")),
        *(f"-lexecutorch_kernels_{part}" for part in ("optimized", "quantized")),
    ),
    "litert": ("-lLiteRt",),
}


def bare_program(backend: str) -> Path:
    """``PROGRAM FILE INPUT THREADS``, as bare_loop.h tells. Raises TargetUnavailable without a compiler."""
    libraries = host_build().folder
    sources = [*_SOURCES, source_folder() / "litert_api.h"]
    key = f"{libraries.name}-{build_key(sources, 'g++')}"
    folder = made_once(cache_folder() / "bench" / key, lambda out: _build(libraries, out))
    return folder / backend


def _build(libraries: Path, out: Path) -> None:
    packages = {wheel.engine: wheel.package for wheel in installed_wheels()}
    include = packages["executorch"] / "include"
    # As system headers: what they are warned of is not ours to mend.
    flags = [
        "-std=c++17",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wno-deprecated-declarations",
        "-DC10_USING_CUSTOM_GENERATED_MACROS",
    ]
    flags += ["-isystem", str(include), "-isystem", str(include / "executorch/runtime/core/portable_type/c10")]
    for backend, needed in _LIBRARIES.items():
        source = str(_HERE / f"bare_{backend}.cpp")
        linked = [f"-L{libraries}", *needed, f"-Wl,-rpath,{libraries}"]
        run_tool(["g++", *flags, source, "-o", str(out / backend), *linked], "the bare program", "it has no other use")
