"""What operators ask one proxy: its state, its metrics, whether it lives and is ready, and a page to look at.

Reads only; nothing here changes anything. Answers come from the same loop as the data plane and are cut into
slices, so that a scrape of a thousand series does not hold up requests, and a busy proxy still says that it
is alive. It has no password: it listens on loopback unless the configuration says otherwise.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from swayam_proxy.core.explanation import Explanation
from swayam_proxy.core.gossip.view import MemberView, PeerView
from swayam_proxy.core.snapshot import FrontendSnapshot
from swayam_proxy.live.settings import AdminSettings

_JSON_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FOR_LOCALHOST = "this address answers to localhost only\n"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class AdminSources:
    """Where the answers come from."""

    snapshot: Callable[[], FrontendSnapshot]
    explain: Callable[[], tuple[Explanation, ...]]
    peers: Callable[[], PeerView | None]
    """None when this proxy does not gossip."""
    metrics: Collector
    why_not_ready: Callable[[], str | None]
    """None when requests are taken, else the reason in a word."""
    version: str


class AdminServer:
    """The admin address of one proxy."""

    def __init__(self, settings: AdminSettings, sources: AdminSources) -> None:
        """Prepare; `start` binds."""
        self._settings = settings
        self._sources = sources
        self._started_at = time.monotonic()
        self._runner: web.AppRunner | None = None
        self._page = files("swayam_proxy.live").joinpath("status_page.html").read_bytes()

    async def start(self) -> str:
        """Listen, and return the address that was bound; `OSError` when that cannot be."""
        app = web.Application(middlewares=[self._guard()], client_max_size=1024)
        app.router.add_get("/", self._show_page)
        app.router.add_get("/state", self._show_state)
        app.router.add_get("/explain", self._show_explanations)
        app.router.add_get("/peers", self._show_peers)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_health)
        app.router.add_get("/readyz", self._show_readiness)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, shutdown_timeout=0.5)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port, reuse_port=False).start()
        except OSError:
            await self.stop()
            raise
        return address_of(runner.addresses[0])

    async def stop(self) -> None:
        """Close the address and its connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _guard(self) -> Any:
        """On loopback, answer to its own names only: a page elsewhere must not reach in by a rebound one."""
        on_loopback = is_loopback(self._settings.host)

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if on_loopback and not is_loopback(host_without_port(request.host)):
                return web.Response(status=403, text=_FOR_LOCALHOST, headers=_HEADERS)
            return await handler(request)

        return guard

    async def _show_page(self, _: web.Request) -> web.Response:
        headers = {**_HEADERS, "Content-Security-Policy": _PAGE_POLICY}
        return web.Response(body=self._page, content_type="text/html", charset="utf-8", headers=headers)

    async def _show_state(self, _: web.Request) -> web.Response:
        snapshot = self._sources.snapshot()
        state = {
            "frontend_id": snapshot.frontend_id,
            "version": self._sources.version,
            "uptime_s": round(time.monotonic() - self._started_at, 3),
            "ready": self._sources.why_not_ready() is None,
            "draining": snapshot.draining,
            "frontends_estimate": snapshot.frontends_estimate,
            "services": {service.name: service for service in snapshot.services},
        }
        body = orjson.dumps(state, option=_JSON_OPTIONS)
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _show_explanations(self, _: web.Request) -> web.Response:
        explanations = {each.service_name: each for each in self._sources.explain()}
        body = orjson.dumps({"services": explanations}, option=_JSON_OPTIONS)
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _show_peers(self, _: web.Request) -> web.Response:
        view, estimate = self._sources.peers(), self._sources.snapshot().frontends_estimate
        members = [] if view is None else [member_json(member) for member in view.members]
        answer = {
            "frontends_count": estimate if view is None else view.frontends_count,
            "frontends_estimate": estimate,
            "gossips": view is not None,
            "members": members,
            "other_configs": [] if view is None else view.other_configs,
        }
        body = orjson.dumps(answer, option=_JSON_OPTIONS)
        return web.Response(body=body, content_type="application/json", headers=_HEADERS)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        parts = []
        for family in self._sources.metrics.collect():
            parts.append(generate_latest(_OneFamily(family)))
            await asyncio.sleep(0)  # requests first
        headers = {**_HEADERS, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=b"".join(parts), headers=headers)

    async def _show_health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_HEADERS)

    async def _show_readiness(self, _: web.Request) -> web.Response:
        reason = self._sources.why_not_ready()
        if reason is None:
            return web.Response(text="ready\n", headers=_HEADERS)
        return web.Response(status=503, text=f"{reason}\n", headers=_HEADERS)


class _OneFamily(Collector):
    """Lets Prometheus' own writer write one family at a time."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def member_json(member: MemberView) -> dict[str, Any]:
    """Return one frontend as /peers tells it; `forecast` by service, per second."""
    return {
        "name": member.name,
        "address": f"{member.address.host}:{member.address.port}",
        "state": member.state,
        "own": member.own,
        "age_s": member.age_s,
        "forecast": {load.service_name: round(load.forecast_per_s, 3) for load in member.loads},
        "prefix": {load.service_name: load.prefix for load in member.loads},
    }


def address_of(bound: Any) -> str:
    """Write a bound socket address as "host:port"."""
    host, port = bound[0], bound[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_without_port(host: str) -> str:
    """Take the port off a Host field."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
