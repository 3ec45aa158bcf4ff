"""Two proxies that end TLS and keep all that passes: mitmproxy, and behind it nginx.

nginx logs the body of each request and keeps each answer as its cache would; mitmproxy writes down
whole flows, with a certificate of its own for the client. The server's access log is there, too.
"""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..ports import free_port
from ..servers import process
from ..servers.process import Server
from .lab import LOG, running

# `make test` sets it up beside everything else: its packages do not agree with the tests' own.
MITMDUMP = Path(sys.prefix, "mitmproxy/bin/mitmdump")
PLACES = ["nginx's log", "nginx's answers", "mitmproxy's flows", LOG]

_HTTP = """
log_format all escape=none '$request $request_body $http_x_note $http_authorization'
    ' $http_sealed $sent_http_x_receipt $sent_http_sealed';
access_log {folder}/nginx-access.log all;
proxy_cache_path {folder}/answers keys_zone=answers:1m;
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    location / {{
        proxy_pass http://up;
        proxy_set_header Host $http_host;
        {lines}
    }}
}}
"""
# The request's body stays in memory to be logged, and each answer is kept under a name of its own.
_LINES = """
        client_body_buffer_size 1m;
        client_body_in_single_buffer on;
        access_log {folder}/nginx-access.log all;
        proxy_cache answers;
        proxy_cache_key $request_id;
        proxy_cache_methods GET HEAD POST;
        proxy_cache_valid any 1m;
        proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
"""


@dataclass
class Proxies:
    """What stands between the client and the application."""

    folder: Path
    server: Server
    #: nginx, with TLS.
    tls: str
    #: mitmproxy, which clients are told to use.
    mitm: str

    def transport(self) -> httpx.HTTPTransport:
        """What a client uses that trusts mitmproxy, as its machine's owner has set it up."""
        context = ssl.create_default_context(cafile=self.folder / "mitm/mitmproxy-ca-cert.pem")
        return httpx.HTTPTransport(proxy=self.mitm, verify=context)

    def kept(self) -> dict[str, bytes]:
        """What each place has kept, once all have ended and written down what they had."""
        answers = (path for path in (self.folder / "answers").rglob("*") if path.is_file())
        return {
            "nginx's log": (self.folder / "nginx-access.log").read_bytes(),
            "nginx's answers": b"\n".join(unpacked(path.read_bytes()) for path in answers),
            "mitmproxy's flows": (self.folder / "flows").read_bytes(),
            LOG: self.server.log.read_bytes(),
        }


@contextmanager
def standing(folder: Path) -> Iterator[Proxies]:
    """Both proxies before the application."""
    make_certificate(folder)
    (folder / "answers").mkdir()
    with ExitStack() as stack, ThreadPoolExecutor(1) as beside:
        starting = beside.submit(stack.enter_context, mitmdump(folder))
        server = stack.enter_context(running(folder))
        tls, lines = free_port(), _LINES.format(folder=folder)
        http = _HTTP.format(folder=folder, port=tls, lines=lines)
        stack.enter_context(process.nginx(folder, server, lines=[lines], http=[http]))
        mitm = starting.result()
        yield Proxies(folder, server, f"https://127.0.0.1:{tls}", mitm.base)


def mitmdump(folder: Path) -> AbstractContextManager[Server]:
    """mitmproxy as a proxy that writes whole flows down."""
    assert MITMDUMP.exists(), "please run tools/setup test"
    port = free_port()
    command = [str(MITMDUMP), "--listen-host=127.0.0.1", f"--listen-port={port}"]
    command += [f"--set=confdir={folder}/mitm", "--ssl-insecure", "-w", f"{folder}/flows"]
    # A page of its own.
    return process.running(command, port, folder, {}, "http://mitm.it/")


def unpacked(kept: bytes) -> bytes:
    """A kept answer, and its body without gzip where it has it."""
    start = kept.find(b"\x1f\x8b\x08")
    return kept if start < 0 else kept + gzip.decompress(kept[start:])


def make_certificate(folder: Path) -> None:
    """For the loopback address, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
