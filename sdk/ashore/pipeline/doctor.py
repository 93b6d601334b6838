"""What is installed, what is missing, and the command that adds it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

from packaging.requirements import Requirement


class Health(StrEnum):
    OK = "ok"
    MISSING = "missing"
    UNTESTED = "untested"
    """Installed in a version that ashore was not tested with."""


@dataclass(frozen=True)
class Finding:
    """``needed_for`` says what does not work without it; ``remedy`` is a command, empty where all is well."""

    name: str
    health: Health
    detail: str
    needed_for: str
    remedy: str = ""


_EXTRAS = {
    "executorch": "converting to and running .pte files",
    "litert": "converting to and running .tflite files",
    "huggingface": "hf:DIR sources",
    "onnx": ".onnx sources",
}
_NATIVE = "the native runner; models run on the host through Python without it"
_PROGRAMS = {
    "g++": (_NATIVE, "g++"),
    "cmake": (_NATIVE, "cmake"),
    "make": (_NATIVE, "make"),
    "aarch64-linux-gnu-g++": ("emulated arm64 targets", "g++-aarch64-linux-gnu"),
    "qemu-aarch64": ("emulated arm64 targets", "qemu-user"),
    "adb": ("Android targets", "adb"),
}


def examine() -> tuple[Finding, ...]:
    """Look at the packages of every extra and at the programs that targets need; imports none of them."""
    return (*_packages(), *_programs())


def _packages() -> Iterator[Finding]:
    requirements = [Requirement(text) for text in metadata.requires("ashore") or []]
    for extra, needed_for in _EXTRAS.items():
        for requirement in requirements:
            if requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
                yield _package(requirement, extra, needed_for)


def _package(requirement: Requirement, extra: str, needed_for: str) -> Finding:
    remedy = f'pip install "ashore[{extra}]"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, Health.MISSING, f"wanted {requirement.specifier}", needed_for, remedy)
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version}, tested with {requirement.specifier}"
        return Finding(requirement.name, Health.UNTESTED, detail, needed_for, remedy)
    return Finding(requirement.name, Health.OK, version, needed_for)


def _programs() -> Iterator[Finding]:
    for program, (needed_for, package) in _PROGRAMS.items():
        path = shutil.which(program)
        if path is None:
            yield Finding(program, Health.MISSING, "not on the PATH", needed_for, f"apt-get install {package}")
        else:
            yield Finding(program, Health.OK, path, needed_for)
