"""What the router is compared with: Debian's nginx and Caddy in front of the same container; and the load, by wrk."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from support.clients import until_it_listens
from support.server import free_port, run

from bench.measure import Program

if TYPE_CHECKING:
    from bench.site import Site

NGINX, CADDY, WRK = Program("nginx", "nginx-light"), Program("caddy", "caddy"), Program("wrk", "wrk")
LOAD_SECONDS = 3
FAST_PORT = 8080
LIBRARY = re.compile(r"(/\S+\.so\S*) \(0x")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
# As many processes as our router has threads; connections to the container stay open; a line a request in the log,
# as in ours and in Debian's own configuration.
NGINX_CONFIG = """\
worker_processes 2;
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log {directory}/access.log;
    keepalive_requests 100000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream app {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""
CADDY_CONFIG = """\
{{
    admin off
    auto_https off
    http_port {port}
    https_port {tls_port}
}}
http://localhost:{port} {{
    bind 127.0.0.1
    reverse_proxy {upstream}
}}
https://localhost:{tls_port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    reverse_proxy {upstream}
}}
"""
# What the container answers with. It has to be fast: it is not what is measured.
FAST_CONFIG = """\
user root;
worker_processes 1;
daemon off;
master_process off;
pid /nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 100000000;
    server { listen 8080 backlog=4096; return 200 "small answer\\n"; }
}
"""
FAST_DOCKERFILE = """\
FROM scratch
COPY . /
EXPOSE 8080
STOPSIGNAL SIGKILL
CMD ["/nginx", "-c", "/nginx.conf"]
"""


def fast_image(site: Site) -> str:
    """An image of nothing but the machine's nginx, its libraries, and a small answer."""
    context = site.base / "fast"
    context.mkdir()
    nginx = Path(NGINX.path or "")
    libraries = LIBRARY.findall(run(["ldd", str(nginx)]).ok())
    shutil.copy(nginx, context / "nginx")
    for library in libraries:
        target = context / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    for name in ("etc", "var/log/nginx", "var/lib/nginx"):
        (context / name).mkdir(parents=True, exist_ok=True)
    (context / "etc/passwd").write_text("root:x:0:0::/:/\n")
    (context / "etc/group").write_text("root:x:0:\n")
    (context / "nginx.conf").write_text(FAST_CONFIG)
    (context / "Dockerfile").write_text(f"{FAST_DOCKERFILE}LABEL {site.id}\n")
    image = f"{site.repository}:fast"
    run(["docker", "build", "--quiet", "--tag", image, str(context)], env=site.env).ok()
    return image


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Files of a certificate for localhost and of its key."""
    certificate, key = directory / "localhost.crt", directory / "localhost.key"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    words += ["-addext", "subjectAltName=DNS:localhost", "-out", str(certificate), "-keyout", str(key)]
    run(words).ok()
    return certificate, key


@contextlib.contextmanager
def running_proxies(
    base: Path, upstream: str, files: tuple[Path, Path]
) -> Iterator[dict[str, tuple[int, int]]]:
    """nginx and Caddy in front of `upstream` (address:port), by name: the ports for http and https."""
    ports: dict[str, tuple[int, int]] = {}
    with contextlib.ExitStack() as stack:
        for name, template in (("nginx", NGINX_CONFIG), ("caddy", CADDY_CONFIG)):
            directory = base / f"{name}-proxy"
            directory.mkdir()
            port, tls_port = ports[name] = free_port(), free_port()
            config = directory / "config"
            config.write_text(
                template.format(
                    directory=directory,
                    upstream=upstream,
                    port=port,
                    tls_port=tls_port,
                    certificate=files[0],
                    key=files[1],
                )
            )
            words = {
                "nginx": [NGINX.path or "", "-p", str(directory), "-c", str(config)],
                "caddy": [CADDY.path or "", "run", "--adapter", "caddyfile", "--config", str(config)],
            }[name]
            env = {"PATH": "/usr/bin:/bin", "HOME": str(directory)}
            with (directory / "log").open("wb") as log:
                process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(_end, process)
            for each in (port, tls_port):
                until_it_listens(process, each, directory / "log")
        yield ports


def load(url: str, connections: int, host: str | None = None) -> tuple[float, float]:
    """Ask for the same small answer over and over: requests a second, and the seconds of the 99th percentile."""
    words = [WRK.path or "", f"-t{min(connections, 2)}", f"-c{connections}", f"-d{LOAD_SECONDS}", "--latency"]
    out = run([*words, *(["-H", f"Host: {host}"] if host else []), url]).ok()
    rate, slowest = re.search(r"Requests/sec:\s+([\d.]+)", out), re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    if not rate or not slowest or "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"{url} does not answer all requests:\n{out}")
    return float(rate[1]), float(slowest[1]) * UNITS[slowest[2]]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
