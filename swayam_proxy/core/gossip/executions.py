"""Execution statistics as gossip carries them: a few hundred bytes that add up at the receiver.

Knows the model's summary and its bounds on the wire; nothing of members. Weights travel as half floats: three
digits are far more than what the statistics are good for.
"""

from collections.abc import Iterable
from struct import Struct, error

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.gossip.wire import SUMMARY_BYTES_MAX
from swayam_proxy.core.model.execution import ExecutionSummary, merge

_HEAD = Struct(">ffffHHH")
_HALF_BYTES = 2
_HALF_MAX = 65504.0
_BINS_MAX = (SUMMARY_BYTES_MAX - _HEAD.size) // _HALF_BYTES


def pack_executions(summary: ExecutionSummary) -> bytes:
    """Write a summary down in at most `SUMMARY_BYTES_MAX` bytes; bins of the longest times beyond are cut."""
    counts = summary.counts[:_BINS_MAX]
    cut = summary.cut_counts[: _BINS_MAX - len(counts)]
    head = _HEAD.pack(
        summary.weight,
        summary.weight_squared,
        summary.log_sum,
        summary.log_square_sum,
        summary.first,
        len(counts),
        summary.cut_first,
    )
    weights = (min(_HALF_MAX, weight) for weight in (*counts, *cut))
    return head + Struct(f">{len(counts) + len(cut)}e").pack(*weights)


def unpack_executions(packed: bytes) -> ExecutionSummary | None:
    """Read a summary; None for bytes that are none, which the caller leaves out."""
    bins_count, rest = divmod(len(packed) - _HEAD.size, _HALF_BYTES)
    if bins_count < 0 or rest:
        return None
    try:
        *sums, first, length, cut_first = _HEAD.unpack_from(packed)
        bins = Struct(f">{bins_count}e").unpack_from(packed, _HEAD.size)
        numbers = (*sums, float(first), float(length), *bins[:length], float(cut_first), *bins[length:])
        return ExecutionSummary.from_numbers(numbers)
    except (error, ModelError):
        return None


def merged_executions(packed: Iterable[bytes]) -> tuple[float, ...]:
    """Return what several members have measured, merged, as plain numbers; empty when there is nothing."""
    summaries = [summary for each in packed if (summary := unpack_executions(each)) is not None]
    return merge(summaries).to_numbers() if summaries else ()
