"""What gossip tells Prometheus: who is counted, what is said, what is not believed.

Reads one `GossipSnapshot` when asked; keeps nothing.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from swayam_proxy.core.gossip.view import GossipSnapshot


def gossip_metrics(snapshot: GossipSnapshot) -> Iterator[Metric]:
    """Yield every metric of the gossip once."""
    frontends = GaugeMetricFamily("swayam_frontends", "Frontends by how they stand.", labels=("state",))
    for state, count in snapshot.states.items():
        frontends.add_metric((str(state),), count)
    yield frontends
    messages = CounterMetricFamily(
        "swayam_gossip_messages", "Datagrams by direction and kind.", labels=("direction", "type")
    )
    for direction, kinds in (("sent", snapshot.sent), ("received", snapshot.received)):
        for kind, count in kinds.items():
            messages.add_metric((direction, str(kind)), count)
    yield messages
    volume = CounterMetricFamily("swayam_gossip_bytes", "Bytes of datagrams.", labels=("direction",))
    volume.add_metric(("sent",), snapshot.sent_bytes)
    volume.add_metric(("received",), snapshot.received_bytes)
    yield volume
    rejected = CounterMetricFamily(
        "swayam_gossip_rejected", "Datagrams dropped, by reason.", labels=("reason",)
    )
    for reason, count in snapshot.rejected.items():
        rejected.add_metric((reason,), count)
    yield rejected
    yield SummaryMetricFamily(
        "swayam_gossip_rtt_seconds",
        "From a probe to its answer.",
        count_value=snapshot.round_trip_count,
        sum_value=snapshot.round_trip_sum_s,
    )
