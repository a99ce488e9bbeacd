"""Files of real traces."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from swayam_proxy.sim.traces import TraceOptions, read_trace, suggested_law
from swayam_proxy.sim.workload import LogNormalLaw, WorkloadError

LAW = LogNormalLaw(0.1, 0.3)
MINUTES = ",".join(str(minute) for minute in range(1, 1441))


def _write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["calls.csv", "calls.csv.gz"])
def test_counts_keep_their_bins(tmp_path: Path, name: str) -> None:
    """Counts stay in their bins, plain or zipped, and the note says what is made up."""
    path = _write(tmp_path / name, "t_s,count\n0,3\n60,0\n120,5\n")
    workload = read_trace(path, TraceOptions(law=LAW))
    assert workload.name == "calls"
    assert np.bincount((workload.arrivals_s // 60).astype(int)).tolist() == [3, 0, 5]
    assert (workload.duration_s, workload.bin_s, workload.execution_mean_s) == (180.0, 60.0, 0.1)
    assert "made up" in workload.note


def test_requests_come_back_as_they_are(tmp_path: Path) -> None:
    """Real arrivals and execution times are sorted, not changed; speed divides both."""
    path = _write(tmp_path / "r.csv", "arrival_s,service_s\n9,18\n2.5,25\n30,27\n")
    workload = read_trace(path, TraceOptions(duration_s=100.0))
    assert workload.arrivals_s.tolist() == [2.5, 9.0, 30.0]
    assert workload.executions_s.tolist() == [25.0, 18.0, 27.0]
    assert workload.duration_s == pytest.approx(100.0)
    fast = read_trace(path, TraceOptions(speed=10.0))
    assert fast.arrivals_s.tolist() == [0.25, 0.9, 3.0]
    assert fast.erlangs_mean == pytest.approx(7.0 / 3.0)


def test_arrivals_alone_take_the_law(tmp_path: Path) -> None:
    """A list of arrivals with other columns gets its execution times from the law, or is refused without
    one.
    """
    path = _write(tmp_path / "l.csv.gz", "arrival_s,input_tokens,output_tokens\n0.5,480,1\n0.1,3,8\n")
    assert read_trace(path, TraceOptions(law=LAW)).arrivals_s.tolist() == [0.1, 0.5]
    with pytest.raises(WorkloadError, match="holds no execution times"):
        read_trace(path, TraceOptions())


def test_azure_minutes_take_one_function(tmp_path: Path) -> None:
    """Of the 2019 file the busiest function is taken, or the one whose hash is begun."""
    quiet, busy = ["0"] * 1440, ["0"] * 1440
    quiet[2], busy[5] = "4", "9"
    rows = f"o,a,quiet1,http,{','.join(quiet)}\no,a,busy22,queue,{','.join(busy)}\n"
    path = _write(tmp_path / "d01.csv", f"HashOwner,HashApp,HashFunction,Trigger,{MINUTES}\n{rows}")
    busiest = read_trace(path, TraceOptions(law=LAW))
    assert (busiest.requests_count, busiest.duration_s) == (9, 86_400.0)
    assert set((busiest.arrivals_s // 60).astype(int)) == {5}
    named = read_trace(path, TraceOptions(law=LAW, function="qui"))
    assert set((named.arrivals_s // 60).astype(int)) == {2}
    with pytest.raises(WorkloadError, match="begins with 'zz'"):
        read_trace(path, TraceOptions(law=LAW, function="zz"))


def test_azure_calls_arrive_when_they_began(tmp_path: Path) -> None:
    """Of the 2021 file arrivals are end minus duration, counted from the first; calls of no length are left
    out.
    """
    text = "app,func,end_timestamp,duration\nx,f,11,1\nx,f,10.5,2\nx,f,30,0\ny,g,3,1\n"
    workload = read_trace(_write(tmp_path / "2021.csv", text), TraceOptions())
    assert workload.arrivals_s.tolist() == [0.0, 1.5]
    assert workload.executions_s.tolist() == [2.0, 1.0]


def test_thinning_keeps_a_share(tmp_path: Path) -> None:
    """Each request is kept with the given probability."""
    path = _write(tmp_path / "big.csv", "t_s,count\n0,10000\n1,10000\n")
    assert read_trace(path, TraceOptions(law=LAW, thin=0.1)).requests_count == pytest.approx(2000, abs=200)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "unknown header"),
        ("when,what\n1,2\n", "unknown header"),
        ("t_s,count\n", "no row"),
        ("t_s,count\n0,x\n", "not a table of numbers"),
        ("t_s,count\n0,1.5\n60,2\n", "whole numbers"),
        ("t_s,count\n0,-1\n60,2\n", "whole numbers"),
        ("t_s,count\n0,1\n60,2\n90,2\n", "one distance"),
        ("t_s,count\n0,1\n60,nan\n", "no finite number"),
        ("arrival_s,service_s\n1,0\n", "positive"),
        ("arrival_s,service_s\n-1,1\n", "negative"),
        ("app,func,end_timestamp,duration\nx,f,1\n", "line 2"),
        (f"HashOwner,HashApp,HashFunction,Trigger,{MINUTES}\no,a,f,http,1,x\n", "line 2"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    """Whatever is wrong, the error names the file and the fault."""
    path = _write(tmp_path / "broken.csv", text)
    with pytest.raises(WorkloadError, match=complaint) as caught:
        read_trace(path, TraceOptions(law=LAW))
    assert "broken.csv" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file, a directory, a file that is not zipped: a WorkloadError, never an OSError."""
    (tmp_path / "fake.csv.gz").write_text("t_s,count\n0,1\n")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "fake.csv.gz"):
        with pytest.raises(WorkloadError, match="cannot be read"):
            read_trace(path, TraceOptions(law=LAW))
    with pytest.raises(WorkloadError, match="share"):
        read_trace(tmp_path, TraceOptions(thin=0.0))


def test_suggested_laws_are_found_beside_the_trace(tmp_path: Path) -> None:
    """stats.json gives a fit or a suggestion; no file, or no entry, gives nothing; a broken one is an
    error.
    """
    path = tmp_path / "o1.csv.gz"
    assert suggested_law(path) is None
    (tmp_path / "stats.json").write_text(
        '[{"id": "o1", "service": {"suggested_mean_s": 0.25, "suggested_cv": 0.5}},'
        ' {"id": "o2", "service": {"lognormal_mu": -1, "mean_of_fit_s": 0.4, "cv_of_fit": 0.3}}]'
    )
    assert suggested_law(path) == LogNormalLaw(0.25, 0.5)
    assert suggested_law(tmp_path / "o2.csv") == LogNormalLaw(0.4, 0.3)
    assert suggested_law(tmp_path / "o3.csv") is None
    (tmp_path / "stats.json").write_text("{")
    with pytest.raises(WorkloadError, match=r"stats\.json"):
        suggested_law(path)
