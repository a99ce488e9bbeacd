"""Records on their way to counters and logs: many at a time, in order, none left behind."""

from collections.abc import Sequence

from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.record_batch import RecordBatch


def test_a_full_batch_goes_on_by_itself_and_the_rest_when_settled() -> None:
    """Every record reaches every taker once, in order; nothing waits beyond a settlement."""
    first: list[float] = []
    second: list[float] = []

    def take_first(requests: Sequence[RequestRecord]) -> None:
        first.extend(request.started_at for request in requests)

    def take_second(requests: Sequence[RequestRecord]) -> None:
        second.extend(request.started_at for request in requests)

    batch = RecordBatch(take_first, take_second)
    for number in range(100):
        batch.record(RequestRecord(float(number)))
    assert 0 < len(first) < 100, "a batch became full on the way"
    batch.settle()
    batch.settle()
    assert first == second == [float(number) for number in range(100)]
