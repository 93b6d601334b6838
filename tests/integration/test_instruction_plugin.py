"""The plugin that counts instructions under qemu: its decoder, and its counts of a program that does what is known."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ashore_runtimes.emulation.instructions import plugin_words
from ashore_runtimes.emulator import QEMU
from programs import require_programs

NATIVE = Path(__file__).parents[2] / "runtimes" / "native"
CLASSES = ["dot_product", "float_fma", "neon", "memory", "other"]


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    require_programs(qemu_aarch64="qemu-user", gcc="gcc", aarch64_linux_gnu_as="binutils-aarch64-linux-gnu")
    require_programs(**{"aarch64_linux_gnu_g++": "g++-aarch64-linux-gnu"})


# The decoder.

INSTRUCTIONS = {
    "dot_product": """
        sdot v0.4s, v1.16b, v2.16b;  sdot v0.2s, v1.8b, v2.8b;  sdot v31.4s, v30.16b, v29.4b[3]
        udot v0.4s, v1.16b, v2.16b;  udot v0.2s, v1.8b, v2.4b[0];  usdot v0.4s, v1.16b, v2.16b
        usdot v0.4s, v1.16b, v2.4b[1];  sudot v0.2s, v1.8b, v2.4b[2]
        smmla v0.4s, v1.16b, v2.16b;  ummla v0.4s, v1.16b, v2.16b;  usmmla v31.4s, v31.16b, v31.16b
        sdot z0.s, z1.b, z2.b;  udot z0.d, z1.h, z2.h;  sdot z0.s, z1.b, z2.b[3];  udot z0.d, z1.h, z2.h[1]
        usdot z0.s, z1.b, z2.b;  usdot z0.s, z1.b, z2.b[0];  sudot z0.s, z1.b, z2.b[1]
        smmla z0.s, z1.b, z2.b;  ummla z0.s, z1.b, z2.b;  usmmla z0.s, z1.b, z2.b
        cdot z0.s, z1.b, z2.b, #90;  cdot z0.s, z1.b, z2.b[1], #0
    """,
    "float_fma": """
        fmadd s0, s1, s2, s3;  fmsub d0, d1, d2, d3;  fnmadd s0, s1, s2, s3;  fnmsub h0, h1, h2, h3
        fmla v0.4s, v1.4s, v2.4s;  fmla v0.2d, v1.2d, v2.2d;  fmls v0.2s, v1.2s, v2.2s;  fmla v0.8h, v1.8h, v2.8h
        fmls v0.4h, v1.4h, v2.4h;  fmla v0.4s, v1.4s, v2.s[3];  fmls v0.2d, v1.2d, v2.d[1];  fmla v0.8h, v1.8h, v2.h[7]
        fmla s0, s1, v2.s[2];  fmls d0, d1, v2.d[0];  fmla h0, h1, v2.h[5]
        fmlal v0.4s, v1.4h, v2.4h;  fmlsl v0.2s, v1.2h, v2.2h;  fmlal2 v0.4s, v1.4h, v2.4h;  fmlsl2 v0.4s, v1.4h, v2.4h
        fmlal v0.4s, v1.4h, v2.h[1];  fmlsl2 v0.4s, v1.4h, v2.h[7];  fcmla v0.4s, v1.4s, v2.4s, #270
        fcmla v0.4s, v1.4s, v2.s[1], #90;  bfdot v0.4s, v1.8h, v2.8h;  bfdot v0.4s, v1.8h, v2.2h[3]
        bfmmla v0.4s, v1.8h, v2.8h;  bfmlalb v0.4s, v1.8h, v2.8h;  bfmlalt v0.4s, v1.8h, v2.h[6]
        fmla z0.s, p0/m, z1.s, z2.s;  fnmls z0.d, p1/m, z1.d, z2.d;  fmad z0.h, p0/m, z1.h, z2.h
        fmla z0.s, z1.s, z2.s[3];  fmls z0.h, z1.h, z2.h[7];  fmla z0.d, z1.d, z2.d[1]
        fcmla z0.s, p0/m, z1.s, z2.s, #90;  fcmla z0.s, z1.s, z2.s[1], #180;  fmlalb z0.s, z1.h, z2.h
        fmlslt z0.s, z1.h, z2.h[5];  bfdot z0.s, z1.h, z2.h;  bfdot z0.s, z1.h, z2.h[2];  bfmmla z0.s, z1.h, z2.h
        fmmla z0.s, z1.s, z2.s;  bfmlalt z0.s, z1.h, z2.h
    """,
    "neon": """
        fadd s0, s1, s2;  fmul v0.4s, v1.4s, v2.4s;  fmul v0.4s, v1.4s, v2.s[1];  fmulx v0.4s, v1.4s, v2.s[1]
        fadd v0.8h, v1.8h, v2.8h;  fmax v0.4s, v1.4s, v2.4s;  frecps v0.4s, v1.4s, v2.4s
        fcadd v0.4s, v1.4s, v2.4s, #90
        fnmul s0, s1, s2;  fcmp s0, s1;  fcsel s0, s1, s2, eq;  fcvtns v0.4s, v1.4s;  scvtf s0, w1;  fmov w0, s1
        fcmeq v0.4s, v1.4s, v2.4s;  frsqrts v0.2d, v1.2d, v2.2d;  faddp v0.4s, v1.4s, v2.4s;  fmaxnm v0.8h, v1.8h, v2.8h
        mla v0.4s, v1.4s, v2.4s;  mla v0.8h, v1.8h, v2.h[3];  mls v0.4s, v1.4s, v2.s[1];  mul v0.8h, v1.8h, v2.h[0]
        smlal v0.4s, v1.4h, v2.4h;  smlal2 v0.4s, v1.8h, v2.h[7];  smull v0.8h, v1.8b, v2.8b
        umlal v0.4s, v1.4h, v2.h[1]
        sadalp v0.4s, v1.8h;  sqrdmulh v0.4s, v1.4s, v2.4s;  sqrdmlah v0.4s, v1.4s, v2.4s
        sqrdmlsh v0.8h, v1.8h, v2.h[3]
        sqdmulh v0.4s, v1.4s, v2.s[3];  sqdmlal v0.4s, v1.4h, v2.h[2];  sqxtn v0.8b, v1.8h;  add v0.4s, v1.4s, v2.4s
        movi v0.4s, #0;  dup v0.4s, w1;  dup v0.4s, v1.s[1];  ins v0.s[1], v1.s[0];  tbl v0.16b, {v1.16b}, v2.16b
        zip1 v0.4s, v1.4s, v2.4s;  ext v0.16b, v1.16b, v2.16b, #4;  orr v0.16b, v1.16b, v1.16b;  sshr v0.4s, v1.4s, #3
        sqrshrun v0.8b, v1.8h, #4;  aese v0.16b, v1.16b;  umaxv b0, v1.16b;  pmull v0.8h, v1.8b, v2.8b
        fmul z0.s, z1.s, z2.s[1];  fmul z0.s, z1.s, z2.s;  fadd z0.s, p0/m, z0.s, z1.s;  mla z0.s, p0/m, z1.s, z2.s
        fcadd z0.s, p0/m, z0.s, z1.s, #90;  sqdmlalb z0.s, z1.h, z2.h;  whilelt p0.s, x0, x1;  ptrue p0.s
        dup z0.s, w1;  smlalb z0.s, z1.h, z2.h;  mla z0.s, z1.s, z2.s[1]
    """,
    "memory": """
        ldr x0, [x1];  str w0, [x1, #4]!;  ldp x0, x1, [sp], #16;  stp q0, q1, [x0];  ldr q0, [x1, x2]
        ldur s0, [x1, #-4]
        ldrb w0, [x1];  ldrsh x0, [x1, x2, lsl #1];  ldr x0, .;  ldr s0, .;  prfm pldl1keep, [x0];  ld1 {v0.4s}, [x0]
        ld1 {v0.16b-v3.16b}, [x0], #64;  ld4 {v0.8b-v3.8b}, [x0];  ld1 {v0.s}[1], [x0], x1;  ld1r {v0.4s}, [x0]
        st2 {v0.4s, v1.4s}, [x0], x2;  ldaxr w0, [x1];  stlxr w0, w1, [x2];  ldar x0, [x1];  cas w0, w1, [x2]
        ldadd w0, w1, [x2];  swp x0, x1, [x2];  ldnp q0, q1, [x0];  ldxp x0, x1, [x2];  stlr w0, [x1]
        ld1w {z0.s}, p0/z, [x0];  st1b {z0.b}, p0, [x0];  ldr z0, [x0];  str p0, [x0];  ld1rw {z0.s}, p0/z, [x0]
        ld1w {z0.s}, p0/z, [x0, z1.s, uxtw];  ld4b {z0.b-z3.b}, p0/z, [x0];  prfw pldl1keep, p0, [x0]
    """,
    "other": """
        add x0, x1, x2;  adds w0, w1, #3;  madd x0, x1, x2, x3;  smaddl x0, w1, w2, x3;  umulh x0, x1, x2;  mov x0, x1
        movz x0, #1;  movk x0, #2, lsl #16;  b .;  bl .;  b.eq .;  cbz x0, .;  tbnz w0, #3, .;  br x0;  blr x1;  ret
        nop;  adrp x0, .;  csel x0, x1, x2, ne;  ubfm x0, x1, #2, #5;  lsl x0, x1, x2;  svc #0;  mrs x0, fpcr;  dmb ish
        cmp x0, #1;  sdiv x0, x1, x2;  rev x0, x1;  ccmp x0, #1, #0, eq;  extr x0, x1, x2, #3;  and x0, x1, #0xff
        crc32b w0, w1, w2;  clz x0, x1;  autiasp;  movz xzr, #0xa5b0
    """,
}


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """The plugin's decoder, by itself."""
    library = tmp_path_factory.mktemp("decoder") / "a64.so"
    source = NATIVE / "qemu_plugin" / "a64.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    decoder = ctypes.CDLL(str(library)).a64_classify
    decoder.argtypes = [ctypes.c_uint32]
    return lambda word: CLASSES[decoder(word)]


@pytest.mark.parametrize("expected", CLASSES)
def test_instructions_fall_into_their_classes(classify: Callable[[int], str], expected: str, tmp_path: Path) -> None:
    lines = [line.strip() for line in INSTRUCTIONS[expected].replace(";", "\n").splitlines() if line.strip()]
    found = {line: classify(word) for line, word in zip(lines, assemble(lines, tmp_path), strict=True)}
    assert found == dict.fromkeys(lines, expected)


def assemble(lines: Sequence[str], folder: Path) -> list[int]:
    source, program, words = folder / "a.s", folder / "a.o", folder / "a.bin"
    source.write_text("\n".join(lines) + "\n")
    features = "armv8.6-a+sve2+f32mm+f64mm+crypto+fp16fml"
    subprocess.run(["aarch64-linux-gnu-as", f"-march={features}", "-o", program, source], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", program, words], check=True)
    return [int(word) for word in np.fromfile(words, "<u4")]


# The plugin, under a program that does what is known.

PROGRAM = r"""
#include <pthread.h>
#include "counting.h"

static volatile long sink;
static volatile int spinning, over;

__attribute__((noinline)) static void count_a_loop() {
  ashore::begin_counting();
  for (int i = 0; i < 100000; ++i) sink = sink + i;
  ashore::end_counting();
}

static void* spin(void*) {
  while (!over) spinning = spinning + 1;
  return nullptr;
}

int main() {
  asm volatile(".arch armv8.2-a+dotprod");
  ashore::begin_counting();
  asm volatile("sdot v0.4s, v1.16b, v2.16b\n fmla v0.4s, v1.4s, v2.4s\n fmadd s0, s1, s2, s3\n fadd s0, s0, s1\n"
               "ldr x0, [sp]\n ldr q0, [sp]\n b 1f\n nop\n 1: nop\n nop" ::: "x0", "v0", "memory");
  ashore::end_counting();
  ashore::begin_counting();  // as where a run failed: its end is missing
  asm volatile("nop\n nop");
  ashore::begin_counting();
  asm volatile("nop");
  ashore::end_counting();
  ashore::end_counting();  // and as where a beginning is missing
  count_a_loop();
  pthread_t other;
  if (pthread_create(&other, nullptr, spin, nullptr) != 0) return 1;
  while (spinning == 0) {}
  count_a_loop();
  over = 1;
  pthread_join(other, nullptr);
}
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, int]]:
    """What the plugin tells of PROGRAM."""
    folder = tmp_path_factory.mktemp("counted, by the plugin")
    (folder / "program.cpp").write_text(PROGRAM)
    words = ["-O2", "-pthread", "-static", "-I", NATIVE, "-o", folder / "program", folder / "program.cpp"]
    subprocess.run(["aarch64-linux-gnu-g++", *words], check=True)
    out = folder / "counts"
    out.touch()
    qemu = shutil.which(QEMU) or QEMU
    done = subprocess.run(
        [qemu, *plugin_words(qemu, out), "-cpu", "cortex-a76", folder / "program"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_instruction_between_the_marks_counts_once(counted: list[dict[str, int]]) -> None:
    assert counted[0] == {"dot_product": 1, "float_fma": 2, "neon": 1, "memory": 2, "other": 3}


def test_a_run_without_its_end_leaves_nothing_to_the_next(counted: list[dict[str, int]]) -> None:
    assert counted[1] == dict.fromkeys(CLASSES, 0) | {"other": 1}
    assert len(counted) == 4


def test_other_threads_are_not_counted(counted: list[dict[str, int]]) -> None:
    alone, beside_another = counted[2:]
    assert alone == beside_another
    assert alone["memory"] == 200_000
