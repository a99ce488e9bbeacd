"""TLS to clients and to backends: verified, never silently plain."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.end_to_end.conftest import Connect, Serve, proxy_config, running_proxy, service_table
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.scripted_backend import Place, always, answer, echo


@dataclass(frozen=True, slots=True)
class TlsProxy:
    """A proxy that speaks TLS to both sides, and the authorities around it."""

    process: ProxyProcess
    places: dict[str, Place]
    clients_authority: trustme.CA
    backends_authority: trustme.CA
    stranger: trustme.CA

    def client_context(self) -> ssl.SSLContext:
        """Return what trusts the proxy."""
        context = ssl.create_default_context()
        self.clients_authority.configure_trust(context)
        return context


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return a backend's context with a certificate of `authority` for `name`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def tls_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsProxy]:
    """One proxy with TLS to clients and services whose backends speak TLS."""
    directory: Path = tmp_path_factory.mktemp("tls")
    clients_authority, backends_authority, stranger = trustme.CA(), trustme.CA(), trustme.CA()
    certificate = clients_authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    backends_authority.cert_pem.write_to_path(directory / "ca.pem")
    own_name = {"ca_file": str(directory / "ca.pem")}
    other_name = {**own_name, "server_name": "models.internal"}
    names = ("right", "stranger", "wrong-name", "named", "plain")
    places = {name: Place() for name in names}
    services = {
        name: {
            **service_table((place,)),
            "backends": [f"https://{place.address}"],
            "tls": other_name if name == "named" else own_name,
        }
        for name, place in places.items()
    }
    pem = str(directory / "server.pem")
    listen = {"host": "127.0.0.1", "port": 0, "tls": {"certificate": pem, "private_key": pem}}
    with running_proxy(directory, proxy_config(services, listen=listen)) as process:
        yield TlsProxy(process, places, clients_authority, backends_authority, stranger)
    for place in places.values():
        place.close()


async def test_tls_on_both_sides_serves_and_streams(
    tls_proxy: TlsProxy, serve: Serve, connect: Connect
) -> None:
    """Calls of all sizes pass through TLS on both sides; the backend is told of the client's https."""
    context = server_context(tls_proxy.backends_authority, "127.0.0.1")
    backend = await serve(tls_proxy.places["right"], echo, context)
    client = await connect(tls_proxy.process.endpoint, tls_proxy.client_context())
    for size in (0, 5, 300_000, 2_000_000):
        body = bytes([size % 251]) * size
        message = await client.ask("PUT", "/right", body=body)
        assert (message.status, message.body == body, message.complete) == (200, True, True)
    assert backend.requests[0].one("x-forwarded-proto") == b"https"
    assert len(backend.connections) == 1


@pytest.mark.parametrize(
    ("name", "certificate_name", "trusted"),
    [("stranger", "127.0.0.1", False), ("wrong-name", "other.internal", True)],
)
async def test_a_backend_that_is_not_who_it_should_be_is_502(
    tls_proxy: TlsProxy, serve: Serve, connect: Connect, name: str, certificate_name: str, trusted: bool
) -> None:
    """An unknown authority or another name in the certificate makes 502; no request is sent."""
    authority = tls_proxy.backends_authority if trusted else tls_proxy.stranger
    backend = await serve(
        tls_proxy.places[name], always(answer()), server_context(authority, certificate_name)
    )
    client = await connect(tls_proxy.process.endpoint, tls_proxy.client_context())
    for method in ("GET", "POST"):
        message = await client.ask(method, f"/{name}", body=b"12345" if method == "POST" else None)
        assert (message.status, message.one("x-swayam-reason")) == (502, b"backend_tls")
    assert backend.hits == 0


async def test_server_name_tells_which_certificate_is_right(
    tls_proxy: TlsProxy, serve: Serve, connect: Connect
) -> None:
    """`server_name` is sent and verified in place of the address."""
    context = server_context(tls_proxy.backends_authority, "models.internal")
    asked_names: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked_names.append(name)
    await serve(tls_proxy.places["named"], always(answer(b"named")), context)
    client = await connect(tls_proxy.process.endpoint, tls_proxy.client_context())
    assert (await client.ask("GET", "/named")).body == b"named"
    assert asked_names == ["models.internal"]


async def test_a_plain_backend_where_tls_was_asked_for_gets_nothing(
    tls_proxy: TlsProxy, serve: Serve, connect: Connect
) -> None:
    """A backend that speaks plain HTTP at an https address never gets the request, even if it is silent."""
    backend = await serve(tls_proxy.places["plain"], always(answer()))
    client = await connect(tls_proxy.process.endpoint, tls_proxy.client_context())
    assert (await client.ask("GET", "/plain")).status in {502, 503, 504}
    await wait_until(lambda: len(backend.connections) >= 1)
    assert backend.hits == 0


async def test_plain_bytes_at_the_tls_port_are_answered_by_nothing_of_a_backend(
    tls_proxy: TlsProxy, connect: Connect
) -> None:
    """A client that forgets TLS is disconnected, and the next one is served."""
    client = await connect(tls_proxy.process.endpoint)
    await client.send(b"GET /right HTTP/1.1\r\nHost: x\r\n\r\n")
    rest = await client.wait_for_end(2.0)
    assert not rest.startswith(b"HTTP/1.1 200")
    again = await connect(tls_proxy.process.endpoint, tls_proxy.client_context())
    assert (await again.ask("GET", "/unknown")).status == 404
