"""Request ids."""

from swayam_proxy.live.request_ids import RequestIds


def test_ids_are_new_each_time_and_always_32_digits() -> None:
    """Ten thousand ids of two makers: all different, all 128 bits, the line of the head says the same."""
    makers = [RequestIds(), RequestIds()]
    seen = set()
    for _ in range(5000):
        for maker in makers:
            maker.advance()
            assert maker.head_end == b"X-Request-Id: " + maker.text.encode() + b"\r\n\r\n"
            assert len(maker.text) == 32
            int(maker.text, 16)
            seen.add(maker.text)
    assert len(seen) == 10_000
