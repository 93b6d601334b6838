"""``ashore.explain`` on hand-made profiles: every cause with its figures, and the change that would help most."""

from __future__ import annotations

from dataclasses import replace

import pytest

import ashore
from ashore import Explanation
from ashore.profiling.causes import Cause, CauseKind
from ashore.profiling.operators import Kind, count_graph, kind_of
from ashore.types.profile import Result
from handmade import EMULATOR, MS, around, artifact, counted, delegation, graph, op, profile, result, timed_ops

CONV, FC = "Convolution (NHWC, F32) IGEMM", "Fully Connected (NC, F32) GEMM"
CONV_INT8, FC_INT8 = "Convolution (NHWC, QS8, QC8W) IGEMM", "Fully Connected (NC, QS8, QC8W) GEMM"


def explained(subject: Result, *beside: Result) -> Explanation:
    return ashore.explain(profile(subject, *beside))[0]


def cause(explanation: Explanation, kind: CauseKind) -> Cause | None:
    return next((each for each in explanation.causes if each.kind is kind), None)


def test_computing_alone_has_no_cause_and_names_what_is_heaviest() -> None:
    ops = (op(f"{CONV} #1", 6.0), op(f"{CONV} #2", 2.0), op("Add (ND, F32) #1", 1.5))
    explanation = explained(result(10.0, **timed_ops(*ops, ms=10.0)))
    assert explanation.title == "net.fake.fp32 on host, 1 thread"
    assert (explanation.causes, explanation.best) == ((), None)
    assert explanation.verdict == (
        "operators explain 95% of the run; nothing but computing is in the way; the heaviest: "
        f"{CONV} 8.000 ms (x2), Add (ND, F32) 1.500 ms (x1)"
    )


def test_undelegated_operators_are_told_by_cost() -> None:
    ops = (
        op(f"{CONV} #1", 4.0),
        op("aten::bmm.out #1", 2.5, delegated=False, type="aten::bmm.out"),
        op("aten::bmm.out #2", 2.5, delegated=False, type="aten::bmm.out"),
        op("aten::gelu.out #1", 1.0, delegated=False, type="aten::gelu.out"),
    )
    explanation = explained(result(10.0, **timed_ops(*ops, ms=10.0)))
    found = cause(explanation, CauseKind.UNDELEGATED)
    assert found and found is explanation.best
    assert found.statement == "3 operators outside of the delegate"
    assert found.evidence == "6.000 ms of 10.000 ms (60%): aten::bmm.out 5.000 ms (x2), aten::gelu.out 1.000 ms (x1)"
    assert found.cost_ns == pytest.approx(6 * MS)
    assert found.change.startswith("replace aten::bmm.out, aten::gelu.out in the model by operators that XNNPACK runs")
    assert "convert with the other backend" in found.change


def test_without_times_the_file_tells_what_is_undelegated() -> None:
    subject = result(artifact=artifact(delegation=delegation(3, 6, 1, ("aten::bmm", 2), ("aten::gelu", 1))))
    found = cause(explained(replace(subject, skipped={"ops": "not asked for"})), CauseKind.UNDELEGATED)
    assert found and found.cost_ns is None
    assert found.statement == "3 of 6 operators outside of the delegate"
    assert found.evidence == "counted in the file, not timed: aten::bmm x2, aten::gelu x1"


def test_what_has_no_times_is_never_said_to_help_most() -> None:
    subject = result(artifact=artifact(delegation=delegation(3, 6, 4, ("aten::bmm", 3))))
    explanation = explained(replace(subject, skipped={"ops": "not asked for; --ops times them"}))
    assert explanation.causes and explanation.best is None
    assert explanation.verdict == "operators were not timed (not asked for; --ops times them)"


def test_a_file_that_was_not_lowered_is_told_as_such() -> None:
    ops = (op("aten::mm.out #1", 9.0, delegated=False),)
    subject = result(10.0, artifact=artifact(delegation=delegation(0, 12, 0)), **timed_ops(*ops, ms=10.0))
    (found,) = explained(subject).causes
    assert found.statement == "none of the 12 operators is delegated: the file was not lowered to XNNPACK"
    assert found.change == "make the file with ashore convert, which lowers to XNNPACK"
    assert found.cost_ns == pytest.approx(9 * MS)


def test_what_lies_between_operators_is_told() -> None:
    explanation = explained(result(10.0, **timed_ops(op(f"{CONV} #1", 4.0), ms=10.0)))
    assert explanation.verdict == (
        "operators explain 40% of the run; the rest lies between them: calls, boundaries, the timing itself"
    )


def test_conversions_are_told_where_they_cost_something() -> None:
    ops = (
        op(f"{CONV_INT8} #1", 5.0),
        op("Convert (NC, F32, QS8) #1", 1.0),
        op("Convert (NC, F32, QS8) #2", 1.0),
        op("Convert (NC, QS8, F32) #1", 0.5),
    )
    found = cause(explained(result(8.0, **timed_ops(*ops, ms=8.0))), CauseKind.CONVERSIONS)
    assert found
    assert found.statement == "3 conversions of element types, 1 quantize/dequantize pair"
    assert found.evidence.startswith("2.500 ms of 8.000 ms (31%): Convert (NC, F32, QS8) 2.000 ms (x2)")
    assert "int8_io = true" in found.change


def test_cheap_conversions_are_no_cause() -> None:
    ops = (op(f"{CONV_INT8} #1", 5.0), op("Convert (NC, F32, QS8) #1", 0.01))
    assert explained(result(5.0, **timed_ops(*ops, ms=5.0))).causes == ()


def test_moves_are_transposes_and_copies() -> None:
    ops = (op(f"{CONV} #1", 5.0), op("Transpose (ND, X32) #1", 2.0), op("Copy (NC, X32) #1", 1.0), op("Copy #2", 1.0))
    found = cause(explained(result(9.0, **timed_ops(*ops, ms=9.0))), CauseKind.MOVES)
    assert found and found.cost_ns == pytest.approx(4 * MS)
    assert found.statement == "1 transpose and 2 copies"
    assert "NHWC" in found.change


def test_the_graph_tells_of_conversions_and_moves_without_times() -> None:
    counted_graph = graph(quantize=5, dequantize=4, transposes=3, copies=1)
    explanation = explained(result(artifact=artifact("int8", graph=counted_graph)))
    conversions, moves = (cause(explanation, kind) for kind in (CauseKind.CONVERSIONS, CauseKind.MOVES))
    assert conversions and moves
    assert conversions.statement == "5 quantize, 4 dequantize and 0 other conversions"
    assert moves.statement == "3 transposes and 1 copy in the graph"
    assert "not timed" in conversions.evidence and "not timed" in moves.evidence


def test_the_edges_conversions_are_no_cause() -> None:
    assert explained(result(artifact=artifact("int8", graph=graph(quantize=1, dequantize=1)))).causes == ()


def test_partitions_are_told_with_what_cuts_them() -> None:
    described = artifact(delegation=delegation(90, 100, 5, ("aten::erf", 4), ("aten::index", 6)))
    subject = result(10.0, artifact=described, **timed_ops(op(f"{CONV} #1", 7.0), ms=10.0))
    found = cause(explained(subject), CauseKind.PARTITIONS)
    assert found
    assert found.statement == "5 partitions, so 10 boundaries with the delegate"
    assert found.evidence == "90 of 100 operators delegated; outside of every operator: 3.000 ms of 10.000 ms (30%)"
    assert found.change == "replace the operators that cut the graph: aten::erf, aten::index"
    assert found.cost_ns == pytest.approx(3 * MS)


def pair(int8_ms: tuple[float, float], fp32_ms: tuple[float, float], jitter: float = 0.02) -> tuple[Result, Result]:
    """A convolution and a fully connected layer in both precisions, with conversions only in int8."""
    ops = (op("Convert (NC, F32, QS8) #1", 0.001), op(f"{CONV_INT8} #1", int8_ms[0]), op(f"{FC_INT8} #1", int8_ms[1]))
    int8 = result(sum(int8_ms), artifact=artifact("int8"), **timed_ops(*ops, ms=sum(int8_ms), jitter=jitter))
    fp32_ops = (op(f"{CONV} #1", fp32_ms[0]), op(f"{FC} #1", fp32_ms[1], module="head.0"))
    return int8, result(sum(fp32_ms), **timed_ops(*fp32_ops, ms=sum(fp32_ms)))


def test_layers_slower_in_int8_than_in_float_are_named() -> None:
    explanation = explained(*pair((2.0, 3.0), (4.0, 1.0)))
    found = cause(explanation, CauseKind.SLOW_LAYERS)
    assert found and found is explanation.best
    assert found.statement == "1 layer slower in int8 than in fp32"
    assert found.evidence == f"{FC_INT8} #1 3.000 ms, in fp32 1.000 ms"
    assert found.cost_ns == pytest.approx(2 * MS)
    assert '[[layers]] rule with precision = "fp32"' in found.change
    assert explanation.verdict.startswith("int8 is 1.00x (0.9")


def test_layers_that_gained_are_no_cause() -> None:
    explanation = explained(*pair((2.0, 1.0), (4.0, 2.0)))
    assert explanation.causes == ()
    assert explanation.verdict.startswith("int8 is 2.00x (1.9")
    assert "as fast as fp32" in explanation.verdict


def test_runs_that_scatter_say_nothing_of_single_layers() -> None:
    explanation = explained(*pair((2.0, 3.0), (4.0, 1.0), jitter=0.4))
    assert cause(explanation, CauseKind.SLOW_LAYERS) is None
    assert "layers are not compared with fp32: the runs whose operators were timed scatter too much" in (
        explanation.verdict
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda fp32: replace(fp32, artifact=artifact("fp32", "sham")),
        lambda fp32: replace(fp32, artifact=artifact("fp32", name="other")),
        lambda fp32: replace(fp32, settings=replace(fp32.settings, threads=2)),
        lambda fp32: replace(fp32, ops=fp32.ops[:1]),
        lambda fp32: replace(fp32, ops=None),
    ],
    ids=["backend", "model", "threads", "graph", "untimed"],
)
def test_layers_are_compared_with_the_same_model_alone(change) -> None:
    int8, fp32 = pair((2.0, 3.0), (4.0, 1.0))
    assert cause(explained(int8, change(fp32)), CauseKind.SLOW_LAYERS) is None


def test_float_is_not_compared_with_itself() -> None:
    int8, fp32 = pair((2.0, 3.0), (4.0, 1.0))
    assert explained(fp32, int8).causes == ()


def test_threads_that_gain_little_are_told() -> None:
    one, two = result(10.0), result(9.0, threads=2)
    first, second = ashore.explain(profile(one, two))
    assert first.causes == ()
    (found,) = second.causes
    assert found.kind is CauseKind.THREADS
    assert found.statement.startswith("2 threads are 1.11x (1.") and "perfect scaling would be 2x" in found.statement
    assert found.evidence == "10.000 ms with 1 thread, 9.000 ms with 2 threads"
    assert found.change == "take 1 thread: more gain little here"
    assert second.best is None, "fewer threads save no time here"


def test_threads_that_cost_are_the_change_that_helps() -> None:
    _, second = ashore.explain(profile(result(10.0), result(13.0, threads=2)))
    assert second.best and second.best.change == "take 1 thread: more are slower here"
    assert second.best.cost_ns == pytest.approx(3 * MS)


def test_threads_that_scale_are_no_cause() -> None:
    assert all(not each.causes for each in ashore.explain(profile(result(10.0), result(5.5, threads=2))))


def test_noise_says_nothing_of_threads() -> None:
    one = result([around(6), around(10), around(14)])
    two = result([around(4), around(9), around(15)], threads=2)
    assert all(not each.causes for each in ashore.explain(profile(one, two)))


def test_the_costliest_cause_comes_first_and_is_the_one_to_change() -> None:
    ops = (
        op(f"{CONV} #1", 3.0),
        op("aten::gelu.out #1", 1.0, delegated=False),
        op("Transpose (ND, X32) #1", 4.0),
        op("Convert (NC, F32, QS8) #1", 2.0),
    )
    explanation = explained(result(10.0, **timed_ops(*ops, ms=10.0)))
    assert [each.kind for each in explanation.causes] == [
        CauseKind.MOVES,
        CauseKind.CONVERSIONS,
        CauseKind.UNDELEGATED,
    ]
    assert explanation.best is explanation.causes[0]


def test_emulated_results_are_explained_by_instructions() -> None:
    fp32 = result(None, target=EMULATOR, instructions=counted(114_700_000))
    int8 = result(None, target=EMULATOR, artifact=artifact("int8"), instructions=counted(51_500_000))
    assert explained(int8, fp32).verdict == "int8 takes 51.5 M instructions, fp32 114.7 M"


@pytest.mark.parametrize(("precision", "dots", "told"), [("int8", 0, True), ("int8", 9, False), ("fp32", 0, False)])
def test_int8_on_a_processor_without_dot_products_is_told(precision: str, dots: int, told: bool) -> None:
    instructions = replace(counted(100), by_class={"dot_product": dots, "other": 100 - dots})
    subject = result(None, target=EMULATOR, artifact=artifact(precision), instructions=instructions)
    assert ("no integer dot product ran: this processor has none" in explained(subject).verdict) is told


def test_nothing_known_is_said_to_be_nothing() -> None:
    assert explained(result()).verdict == "nothing stands out"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::permute_copy.out", Kind.TRANSPOSE),
        ("xnnpack:transpose", Kind.TRANSPOSE),
        ("Transpose (ND, X32)", Kind.TRANSPOSE),
        ("TRANSPOSE", Kind.TRANSPOSE),
        ("TRANSPOSE_CONV", Kind.COMPUTE),
        ("aten::t_copy.out", Kind.TRANSPOSE),
        ("quantized_decomposed::quantize_per_tensor.out", Kind.QUANTIZE),
        ("quantized_decomposed::dequantize_per_channel.out", Kind.DEQUANTIZE),
        ("QUANTIZE", Kind.QUANTIZE),
        ("DEQUANTIZE", Kind.DEQUANTIZE),
        ("Convert (NC, F32, QS8)", Kind.QUANTIZE),
        ("Convert (NC, QS8, F32)", Kind.DEQUANTIZE),
        ("xnnpack:convert", Kind.CONVERT),
        ("aten::view_copy.out", Kind.COPY),
        ("CONCATENATION", Kind.COPY),
        ("PADV2", Kind.COPY),
        ("STRIDED_SLICE", Kind.COPY),
        ("CONV_2D", Kind.COMPUTE),
        ("Convolution (NHWC, QS8, QC8W) IGEMM", Kind.COMPUTE),
        ("Fully Connected (NC, F32) GEMM", Kind.COMPUTE),
        ("xnnpack:fully_connected", Kind.COMPUTE),
        ("Softmax (NC, F32)", Kind.COMPUTE),
        ("", Kind.COMPUTE),
    ],
)
def test_names_of_both_engines_and_of_pytorch_are_understood(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind


def test_a_graph_is_counted_by_kind() -> None:
    ops = {"CONV_2D": 5, "QUANTIZE": 2, "DEQUANTIZE": 1, "TRANSPOSE": 3, "PAD": 4, "xnnpack:convert": 6}
    assert count_graph(ops) == replace(
        graph(quantize=2, dequantize=1, transposes=3, copies=4, conversions=6), ops=dict(ops)
    )
