"""Swayam: an SLA-driven load balancer and autoscaler for model servers."""

__version__ = "0.1.0"
