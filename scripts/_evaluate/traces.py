"""Which traces are played, and how much of each: the open set where it lies, else the synthetic fifteen.

A trace with too many requests is thinned, and its executions are made longer in the same measure, so that
the work in erlangs stays; the evaluation says where.
"""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from swayam_proxy.sim.synthetic import SHAPES, synthetic_workload
from swayam_proxy.sim.traces import TraceOptions, read_trace, suggested_law
from swayam_proxy.sim.workload import LogNormalLaw, Workload, WorkloadError

DURATION_S = 10_800.0
SOURCES = {
    "azf19": "Azure Functions 2019 (Shahrad et al., Serverless in the Wild, USENIX ATC 2020; CC-BY 4.0, "
    "Microsoft), some by way of vHive's InVitro, some of Faro (Jeon et al., EuroSys 2025)",
    "twitter-": "events per second of a Twitter sample, from IPA (Ghafouri et al.)",
    "twitter2": "tweets per second, from Cilantro (Bhardwaj et al., OSDI 2023)",
    "wc98": "the 1998 World Cup web site (Arlitt and Jin, 1998)",
    "sd-lora": "Alibaba's Stable Diffusion service (Lin et al., SoCC 2025)",
}
"""Who published what, by what stands in a trace's name."""
HOPELESS = ("o05",)
"""Batches of one minute out of silence: no rule keeps the promise, so that means leave it out."""


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """One trace of the set."""

    name: str
    path: str | None
    """None: synthetic."""
    thin: float = 1.0
    until_s: float = DURATION_S

    @property
    def hopeless(self) -> bool:
        """Left out of means."""
        return self.name.startswith(HOPELESS)


def trace_set(directory: Path | None, requests_max: int, until_s: float) -> list[TraceSpec]:
    """Return the traces of the directory that can be played, or the synthetic ones without a directory."""
    if directory is None:
        return [TraceSpec(kind, None, 1.0, until_s) for kind in SHAPES]
    paths = sorted([*directory.glob("*.csv"), *directory.glob("*.csv.gz")])
    specs = [spec for path in paths if (spec := _spec_of(path, requests_max, until_s)) is not None]
    if not specs:
        raise WorkloadError(f"{directory}: holds no trace with execution times, own or in stats.json")
    return specs


def _spec_of(path: Path, requests_max: int, until_s: float) -> TraceSpec | None:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        header = file.readline()
        if header.startswith("t_s,count"):
            if suggested_law(path) is None:
                return None
            total = sum(int(line.split(",")[1]) for line in file)
            thin = min(1.0, requests_max / max(1, total))
        elif "service_s" in header or "execution_s" in header:
            thin = 1.0
        else:
            return None
    return TraceSpec(path.name.removesuffix(".gz").removesuffix(".csv"), str(path), round(thin, 4), until_s)


@lru_cache(maxsize=3)
def load(spec: TraceSpec, seed: int) -> Workload:
    """Return the workload; the same spec and seed give the same requests."""
    if spec.path is None:
        return synthetic_workload(spec.name, seed, spec.until_s)
    path = Path(spec.path)
    law = suggested_law(path)
    if law is not None and spec.thin < 1.0:
        law = LogNormalLaw(law.mean_s / spec.thin, law.cv)
    workload = read_trace(path, TraceOptions(law=law, seed=seed, thin=spec.thin, duration_s=DURATION_S))
    return workload if spec.until_s >= workload.duration_s else workload.cut(0.0, spec.until_s)
