"""Gossip as Prometheus sees it."""

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from swayam_proxy.core.gossip.view import GossipSnapshot
from swayam_proxy.live.gossip_metrics import gossip_metrics


def test_every_counter_has_its_name_and_labels() -> None:
    """The names that dashboards are built on, with directions, kinds and reasons."""
    snapshot = GossipSnapshot(
        frontends_count=3,
        states={"alive": 2, "suspect": 1},
        sent={"PROBE": 7},
        received={"ANSWER": 6},
        sent_bytes=700,
        received_bytes=600,
        rejected={"seal": 4},
        round_trip_count=6,
        round_trip_sum_s=0.012,
        failure_share=0.0,
        doubts_raised_count=0,
        slept_s=0.0,
        rumors_count=0,
        tombstones_count=0,
        authenticated=True,
    )

    class One(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return gossip_metrics(snapshot)

    text = generate_latest(One()).decode()
    for line in (
        'swayam_frontends{state="suspect"} 1.0',
        'swayam_gossip_messages_total{direction="sent",type="PROBE"} 7.0',
        'swayam_gossip_messages_total{direction="received",type="ANSWER"} 6.0',
        'swayam_gossip_bytes_total{direction="sent"} 700.0',
        'swayam_gossip_rejected_total{reason="seal"} 4.0',
        "swayam_gossip_rtt_seconds_count 6.0",
        "swayam_gossip_rtt_seconds_sum 0.012",
    ):
        assert line in text, text
