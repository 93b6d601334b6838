"""Building the native runner: once for each combination of sources, wheels and compiler, and in words where it fails.

The compilers are scripts that note each call, so that what is built when can be seen quickly.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ashore.errors import TargetUnavailable
from ashore_runtimes.runner import native_build
from ashore_runtimes.runner.native_build import arm64_build, bundle, host_build
from ashore_runtimes.runner.wheels import Wheel, arm64_wheel, installed_wheels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the native runner is built on Linux only")

CMAKE = """#!/bin/sh
echo "$@" >> "{log}"
[ "$1" = --build ] || exit 0
sleep 0.2
mkdir -p "$2" && cd "$2"
for made in ashore-runner libashore_executorch.so libashore_litert.so libashore_turn.so; do echo "$$" > $made; done
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pretended compilers that is all of PATH but for the shell's own; ``log`` in it notes the calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("g++", "aarch64-linux-gnu-g++", "make"):
        put(folder / name, "#!/bin/sh\n")
    put(folder / "cmake", CMAKE.format(log=folder / "log"))
    for name in ("sh", "mkdir", "sleep"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path / "cache"))
    return folder


def put(file: Path, script: str) -> None:
    file.write_text(script)
    file.chmod(0o755)


def builds(tools: Path) -> int:
    log = tools / "log"
    return log.read_text().count("--build") if log.exists() else 0


def test_a_build_is_made_once_and_stays(tools: Path) -> None:
    first, second = host_build(), host_build()
    assert first == second and builds(tools) == 1
    assert first.engines == ("executorch", "litert") and first.sysroot is None
    assert first.runner.is_file() and first.library_paths == (first.folder,)
    assert (first.folder / "libLiteRt.so").resolve().is_file()


def test_two_who_want_it_at_once_build_it_once(tools: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: host_build(), range(4)))
    assert len(made) == 1 and builds(tools) == 1
    assert [path.name for path in (tmp_path / "cache" / "native").iterdir() if path.is_dir()] == [
        made.pop().folder.name
    ]


def test_changed_sources_or_another_compiler_build_anew(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "native"
    shutil.copytree(native_build.source_folder(), sources)
    monkeypatch.setattr(native_build, "source_folder", lambda: sources)
    original = host_build()
    (sources / "runner.cpp").write_text("int main() {}")
    changed = host_build()
    put(tools / "g++", "#!/bin/sh\n# a newer one\n")
    recompiled = host_build()
    (sources / "notes.txt").write_text("more")
    assert len({original.folder, changed.folder, recompiled.folder, host_build().folder}) == 4
    assert builds(tools) == 4


def test_another_version_of_a_wheel_builds_anew(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = host_build()
    others = tuple(Wheel(wheel.engine, wheel.version + ".1", wheel.package) for wheel in installed_wheels())
    monkeypatch.setattr(native_build, "installed_wheels", lambda: others)
    assert host_build().folder != original.folder and builds(tools) == 2


def test_either_wheel_alone_suffices(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tuple(wheel for wheel in installed_wheels() if wheel.engine == "litert")
    monkeypatch.setattr(native_build, "installed_wheels", lambda: alone)
    build = host_build()
    assert build.engines == ("litert",)
    assert not (build.folder / "libashore_executorch.so").exists()
    assert "EXECUTORCH" not in (tools / "log").read_text()


def test_no_wheel(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_build, "installed_wheels", lambda: ())
    with pytest.raises(TargetUnavailable, match="no executorch or ai-edge-litert is installed") as caught:
        host_build()
    assert caught.value.hint == 'pip install "ashore[executorch,litert]"'
    assert builds(tools) == 0


@pytest.mark.parametrize(
    ("missing", "build", "package"),
    [
        ("g++", host_build, "g++"),
        ("cmake", host_build, "cmake"),
        ("make", host_build, "make"),
        ("aarch64-linux-gnu-g++", arm64_build, "g++-aarch64-linux-gnu"),
    ],
)
def test_a_missing_program_is_named_with_the_command_that_adds_it(
    tools: Path, missing: str, build: object, package: str
) -> None:
    (tools / missing).unlink()
    assert callable(build)
    with pytest.raises(TargetUnavailable) as caught:
        build()
    assert missing in caught.value.message and "cannot be built" in caught.value.message
    assert f"apt-get install {package}" in caught.value.hint


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(tools: Path, tmp_path: Path) -> None:
    put(tools / "cmake", "#!/bin/sh\necho 'engine.cpp:7: error: no such thing' >&2\nexit 2\n")
    with pytest.raises(TargetUnavailable, match=r"engine\.cpp:7: error: no such thing"):
        host_build()
    assert [path.name for path in (tmp_path / "cache" / "native").iterdir() if path.is_dir()] == []
    put(tools / "cmake", CMAKE.format(log=tools / "log"))
    assert host_build().runner.is_file()


def test_a_wheel_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheel = Wheel("litert", "2.3.0", tmp_path)
    with pytest.raises(TargetUnavailable, match=r"cannot fetch the arm64 wheel of ai-edge-litert==2\.3\.0") as caught:
        arm64_wheel(wheel, tmp_path)
    assert "check the network" in caught.value.hint
    assert not [path for path in (tmp_path / "wheels").iterdir() if path.is_dir()]


def test_a_bundle_is_named_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("no bundle is tested: apt-get install g++-aarch64-linux-gnu")
    monkeypatch.setenv("ASHORE_CACHE", str(tmp_path))
    folder = tmp_path / "a build"
    folder.mkdir()
    put(folder / "ashore-runner", "one")
    build = native_build.NativeBuild(folder / "ashore-runner", folder, (folder,), ("litert",))
    first, again = bundle(build), bundle(build)
    put(folder / "ashore-runner", "another")
    assert first == again != bundle(build)
    assert (first / "ashore-runner").read_text() == "one"
    assert {"ld-linux-aarch64.so.1", "libc.so.6", "libstdc++.so.6"} < {path.name for path in first.iterdir()}
    assert not any(path.is_symlink() for path in first.iterdir())
