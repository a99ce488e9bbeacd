"""What the data plane's benchmark reads, computes and writes; the measuring itself needs a quiet machine."""

import socket
import threading

import pytest
from _benchmark_dataplane.contestants import MissingProgramError, require
from _benchmark_dataplane.latency import Pacer, is_whole, percentile
from _benchmark_dataplane.load import Cost, LoadFailedError, requests_of
from _benchmark_dataplane.report import Findings, ratio, verdicts

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_errors_of_the_load_generator_are_never_numbers() -> None:
    """Requests are read from what wrk says, unless it met errors or said nothing."""
    said = "  74551 requests in 4.00s, 16.57MB read\nRequests/sec: 18637.75\n"
    assert requests_of(said, "x") == 74551
    for trouble in (
        "  Non-2xx or 3xx responses: 5\n",
        "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
    ):
        with pytest.raises(LoadFailedError, match="x: "):
            requests_of(said + trouble, "x")
    with pytest.raises(LoadFailedError):
        requests_of("unable to connect", "x")


def test_a_missing_program_is_named_with_what_to_do() -> None:
    """Who lacks a program is told how to get it."""
    with pytest.raises(MissingProgramError, match="apt-get install -y no-such-program"):
        require("no-such-program")


def test_the_ratio_compares_rounds_with_each_other() -> None:
    """The median of the rounds' ratios, so that a slow minute of the machine counts for both."""
    costs = {
        "HAProxy": [Cost(100.0, 1.0, 1.0, 1.0), Cost(50.0, 1.0, 1.0, 1.0), Cost(200.0, 1.0, 1.0, 1.0)],
        "Swayam": [Cost(70.0, 1.0, 1.0, 1.0), Cost(35.0, 1.0, 1.0, 1.0), Cost(100.0, 1.0, 1.0, 1.0)],
    }
    assert ratio(costs, "Swayam") == pytest.approx(0.7)
    assert ratio({"Swayam": costs["Swayam"]}, "Swayam") is None
    said = verdicts(Findings(costs={"1k": costs}, memory={"Swayam": (130.0, 3.0)}))
    assert said[0].endswith("met")
    assert said[1].endswith("missed")


def test_latency_is_judged_by_what_each_proxy_adds() -> None:
    """What the backend and the load generator take themselves belongs to no proxy."""
    rounds = {"direct": [(10e-6, 50e-6)], "HAProxy": [(110e-6, 250e-6)], "Swayam": [(120e-6, 270e-6)]}
    assert verdicts(Findings(latencies_s=rounds)) == [
        "added latency: p50 1.10, p99 1.10 of HAProxy; bar 1.2: met"
    ]
    rounds["Swayam"] = [(120e-6, 300e-6)]
    assert verdicts(Findings(latencies_s=rounds))[0].endswith("missed")


def test_an_answer_is_whole_with_its_last_byte() -> None:
    """Neither half a head nor half a body is an answer; a status other than 200 is a mistake."""
    for count in range(len(ANSWER)):
        assert not is_whole(ANSWER[:count])
    assert is_whole(ANSWER)
    with pytest.raises(RuntimeError, match="503"):
        is_whole(ANSWER.replace(b"200", b"503"))


def test_percentiles_are_values_that_occurred() -> None:
    """The 99th of a hundred values is the largest one but none above."""
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)
    assert percentile([3.0], 0.99) == 3.0


def test_the_pacer_keeps_its_rate() -> None:
    """Two hundred a second for half a second are a hundred requests, each answered once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                while len(request) < 1024:
                    request += connection.recv(65536)
                connection.sendall(ANSWER)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    pacer = Pacer(listener.getsockname()[1])
    try:
        taken_s = pacer.run(200.0, 0.5)
    finally:
        pacer.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5.0)
    assert len(taken_s) in (100, 101)
    assert min(taken_s) > 0.0
