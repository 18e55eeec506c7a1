"""The proxy in front of the UI, as it is shipped: a real nginx with deploy/nginx.conf before two real webservers.

Only names, ports and paths are put in; every rule is the file's own. The probes are those that Dagster alone does not stand
(a mutation by GET through an <img>, a foreign Host, framing, ...), and the UI's own traffic, which must pass.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here; remedy: apt-get install nginx-light")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DEPLOY = Path(__file__).parent.parent.parent / "deploy"
VIEWER, OPERATOR = "credit.example.gov.cn", "credit-operator.example.gov.cn"
PASSWORDS = {VIEWER: ("viewer", "look-on"), OPERATOR: ("operator", "start-runs")}
CODE = "import dagster as dg\n\n@dg.op\ndef nothing(): ...\n\n@dg.job\ndef small():\n    nothing()\n\ndefs = dg.Definitions(jobs=[small])\n"
LAUNCH = """mutation { launchRun(executionParams: {selector: {repositoryLocationName: "small", repositoryName: "__repository__",
    jobName: "small"}, runConfigData: "{}"}) { __typename } }"""
RUNS = "{ runsOrError { ... on Runs { results { id } } } }"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Site:
    """One proxy with its two sites."""

    port: int

    def connect(self, host: str) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return unverified().wrap_socket(plain, server_hostname=host)

    def origin(self, host: str) -> str:
        return f"https://{host}:{self.port}"

    def raw(self, host: str, lines: list[str], body: bytes = b"") -> bytes:
        """What comes back for these lines, to the end of the headers at least; nothing when the door stays shut."""
        with self.connect(host) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            received = b""
            while b"\r\n\r\n" not in received and (part := connection.recv(65536)):
                received += part
        return received

    def ask(
        self,
        method: str,
        path: str,
        body: str | None = None,
        *,
        host: str = VIEWER,
        signed_in: bool = True,
        **headers: str,
    ) -> Answer:
        sent = {"Host": f"{host}:{self.port}", **(login(host) if signed_in else {})}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=unverified(), timeout=60)
        connection.request(method, path, body.encode() if body is not None else None, sent)
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read().decode("utf-8", "replace"),
        )

    def graphql(self, query: str, *, host: str = VIEWER, **headers: str) -> Answer:
        """As the UI itself asks."""
        given = {"Content_Type": "application/json", "Origin": self.origin(host), **headers}
        return self.ask("POST", "/graphql", json.dumps({"query": query}), host=host, **given)

    def websocket(self, origin: str | None, *, host: str = VIEWER, signed_in: bool = True) -> bytes:
        lines = [
            "GET /graphql HTTP/1.1",
            f"Host: {host}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
        ]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += ["Sec-WebSocket-Protocol: graphql-ws"]
        lines += [f"Origin: {origin}"] if origin else []
        lines += [f"{name}: {value}" for name, value in login(host).items()] if signed_in else []
        return self.raw(host, lines)


def unverified() -> ssl.SSLContext:
    """The certificate is the test's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def login(host: str) -> dict[str, str]:
    name, password = PASSWORDS.get(host, PASSWORDS[VIEWER])
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args}: ended while starting"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{process.args}: does not listen")


def certificate(folder: Path) -> None:
    """A key and a certificate of its own, as an office would get them from its authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, VIEWER)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def start_nginx(stack: ExitStack, folder: Path, changes: dict[str, str]) -> Site:
    """nginx with the shipped files, in which these texts are changed, each of which must be there."""
    port = free_port()
    settings = folder / "settings"
    settings.mkdir()
    certificate(settings)
    for audience, host in (("viewers", VIEWER), ("operators", OPERATOR)):
        name, password = PASSWORDS[host]
        (settings / f"{audience}.htpasswd").write_text(f"{name}:{{PLAIN}}{password}\n")
    changes = changes | {
        "/etc/nginx/credit-pipeline": str(settings),
        "listen 443": f"listen 127.0.0.1:{port}",
    }
    unused = set(changes)
    for file in DEPLOY.glob("nginx*.conf"):
        text = file.read_text(encoding="utf-8")
        for old, new in changes.items():
            if old in text:
                unused.discard(old)
                text = text.replace(old, new)
        (settings / file.name).write_text(text)
    assert not unused, f"deploy/nginx*.conf no longer say {unused}"
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "main.conf").write_text(
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n"
        f"include {settings}/nginx.conf; }}\n"
    )
    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "main.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    stack.callback(stop, process)
    wait_for(port, process)
    return Site(port)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


def start_webserver(stack: ExitStack, folder: Path, *arguments: str) -> int:
    port = free_port()
    command = [str(Path(sys.executable).with_name("dagster-webserver")), "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [*command, "-w", str(folder / "workspace.yaml"), *arguments],
        cwd=folder,
        env={**os.environ, "DAGSTER_HOME": str(folder / "home"), "DAGSTER_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(stop, process)
    wait_for(port, process)
    return port


@pytest.fixture(scope="module")
def webservers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "small.py").write_text(CODE)
    (folder / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: small.py, location_name: small}\n"
    )
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with ExitStack() as stack:
        operator = start_webserver(stack, folder)
        viewer = start_webserver(stack, folder, "--read-only")
        yield {"127.0.0.1:3000": operator, "127.0.0.1:3001": viewer}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, webservers: dict[str, int]) -> Iterator[Site]:
    changes = {old: f"127.0.0.1:{port}" for old, port in webservers.items()}
    with ExitStack() as stack:
        yield start_nginx(stack, tmp_path_factory.mktemp("nginx"), changes)


def runs(site: Site) -> int:
    answer = site.graphql(RUNS)
    assert answer.status == 200, answer
    return len(json.loads(answer.body)["data"]["runsOrError"]["results"])


def test_without_the_proxy_the_probes_succeed(webservers: dict[str, int]) -> None:
    """Prevents probes that no longer probe anything: Dagster alone launches runs by GET for any page."""
    connection = http.client.HTTPConnection("127.0.0.1", webservers["127.0.0.1:3000"], timeout=60)
    from urllib.parse import quote

    headers = {"Host": "evil.example", "Referer": "https://evil.example/"}
    connection.request("GET", f"/graphql?query={quote(LAUNCH)}", headers=headers)
    response = connection.getresponse()
    assert b"LaunchRunSuccess" in response.read()
    assert response.getheader("X-Frame-Options") is None


@pytest.mark.parametrize("host", [VIEWER, OPERATOR])
def test_the_ui_works(site: Site, host: str) -> None:
    """Prevents a proxy that is safe because nothing passes."""
    page = site.ask("GET", "/runs", host=host)
    assert page.status == 200 and "<html" in page.body.lower()
    assert site.ask("GET", "/favicon.png", host=host).status == 200
    assert site.ask("GET", "/server_info", host=host).status == 200
    answer = site.graphql(
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }", host=host
    )
    assert answer.status == 200 and "__repository__" in answer.body
    utf8 = site.graphql("{ version }", host=host, Content_Type="application/json; charset=utf-8")
    assert utf8.status == 200 and "version" in utf8.body
    opened = site.websocket(site.origin(host), host=host)
    assert opened.startswith(b"HTTP/1.1 101 ") and b"graphql-ws" in opened


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; remedy: apt-get install chromium")
def test_a_browser_shows_the_ui(webservers: dict[str, int], tmp_path: Path) -> None:
    """Prevents headers under which the real UI stays an empty page: what it shows of a job comes by GraphQL.

    Without the login, which a headless browser cannot be asked for.
    """
    changes = {old: f"127.0.0.1:{port}" for old, port in webservers.items()}
    with ExitStack() as stack:
        site = start_nginx(stack, tmp_path, {**changes, '"credit-pipeline";': "off;"})
        command = [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
        ]
        command += ["--ignore-certificate-errors", f"--host-resolver-rules=MAP {VIEWER} 127.0.0.1"]
        command += [
            f"--user-data-dir={tmp_path / 'browser'}",
            "--virtual-time-budget=20000",
            "--timeout=60000",
        ]
        shown = subprocess.run(
            [*command, "--dump-dom", f"{site.origin(VIEWER)}/locations/small/jobs/small"],
            capture_output=True, text=True, timeout=120, check=False,
        ).stdout  # fmt: skip
    assert "nothing" in shown and "Launchpad" in shown, shown[:2000]


def test_only_the_operator_starts_runs(site: Site) -> None:
    """Prevents a viewing process that can do more than look on, and an operator who can't work."""
    before = runs(site)
    assert "UnauthorizedError" in site.graphql(LAUNCH).body
    assert runs(site) == before
    assert "LaunchRunSuccess" in site.graphql(LAUNCH, host=OPERATOR).body
    assert runs(site) == before + 1


@pytest.mark.parametrize("host", [VIEWER, OPERATOR])
def test_nobody_enters_without_his_login(site: Site, host: str) -> None:
    """Probe 1: no login. A viewer's password opens nothing of the operator's."""
    other = VIEWER if host == OPERATOR else OPERATOR
    for headers in ({}, login(other), {"Authorization": "Basic bm9ib2R5Og=="}):
        assert site.ask("GET", "/", host=host, signed_in=False, **headers).status == 401
        assert site.graphql(LAUNCH, host=host, Authorization=headers.get("Authorization", "")).status == 401
    assert site.websocket(site.origin(host), host=host, signed_in=False).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", f"http://{OPERATOR}", f"https://{OPERATOR}.evil.example"]
)
def test_a_foreign_page_cannot_post(site: Site, origin: str) -> None:
    """Probe 2: POST with a foreign Origin, or none, with the operator's login."""
    before = runs(site)
    answer = site.graphql(LAUNCH, host=OPERATOR, Origin=origin)
    assert answer.status == 403
    assert site.graphql(LAUNCH, host=OPERATOR, Origin=site.origin(VIEWER)).status == 403
    assert runs(site) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_graphql_comes_by_post_only(site: Site, method: str) -> None:
    """Probe 3: a mutation by GET, as an <img> sends it, also under other spellings of the path."""
    from urllib.parse import quote

    before = runs(site)
    query = f"?query={quote(LAUNCH)}"
    for origin in ({}, {"Origin": site.origin(OPERATOR)}):
        assert site.ask(method, "/graphql" + query, host=OPERATOR, **origin).status == 405
    for path in (
        "/graphql/",
        "//graphql",
        "/%67raphql",
        "/x/../graphql",
        "/./graphql",
        "/GraphQL",
        "/graphql;x",
    ):
        assert site.ask(method, path + query, host=OPERATOR).status in (403, 405), path
    assert runs(site) == before


def test_a_mutation_by_get_does_not_pass_as_a_websocket(site: Site) -> None:
    """Prevents the exception for WebSockets from letting a plain GET through."""
    from urllib.parse import quote

    before = runs(site)
    path = f"/graphql?query={quote(LAUNCH)}"
    for upgrade in ("websocket", "WebSocket", "h2c", "websocket, h2c"):
        answer = site.ask(
            "GET", path, host=OPERATOR, Upgrade=upgrade, Connection="upgrade", Origin="https://evil.example"
        )
        assert answer.status in (403, 405), upgrade
        answer = site.ask("GET", "/runs", host=OPERATOR, Upgrade=upgrade, Connection="upgrade")
        assert answer.status == 400, upgrade
    assert runs(site) == before


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1", "localhost", f"{VIEWER}.evil.example", ""])
def test_another_host_gets_no_answer(site: Site, name: str) -> None:
    """Probe 4: a foreign name that points here (DNS rebinding), by Host and by SNI."""
    lines = ["GET / HTTP/1.1", f"Host: {name}", *(f"{key}: {value}" for key, value in login(VIEWER).items())]
    received = site.raw(VIEWER, lines)
    assert received == b"" or (not name and received.startswith(b"HTTP/1.1 400 ")), received[:80]
    assert site.raw("evil.example", ["GET / HTTP/1.1", "Host: evil.example"]) == b""


@pytest.mark.parametrize("path", ["/", "/runs", "/server_info", "/favicon.png", "/nothing-here"])
def test_no_page_can_be_framed_or_kept(site: Site, path: str) -> None:
    """Probe 5: framing (clickjacking); also on refusals."""
    for answer in (site.ask("GET", path), site.ask("GET", path, signed_in=False), site.ask("PUT", path)):
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("host", [VIEWER, OPERATOR])
@pytest.mark.parametrize(
    "path",
    [
        "/download_debug/0", "/logs/a/b.out", "/notebook?path=/etc/passwd.ipynb", "/report_asset_materialization/x",
        "/report_asset_check/x", "/report_asset_observation/x", "//download_debug/0", "/%64ownload_debug/0",
    ],
)  # fmt: skip
def test_side_doors_are_shut(site: Site, host: str, path: str) -> None:
    """Probe 6: whole runs with logs and configuration, and reports of assets, in the viewing process too."""
    for method in ("GET", "POST"):
        assert site.ask(method, path, "{}" if method == "POST" else None, host=host).status == 403


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql",
        "text/plain; application/json", "application/jsonx", "", "text/plain;charset=application/json",
    ],
)  # fmt: skip
def test_forms_and_texts_are_refused(site: Site, content_type: str) -> None:
    """Prevents what a foreign page may send without asking first."""
    before = runs(site)
    assert site.graphql(LAUNCH, host=OPERATOR, Content_Type=content_type).status == 415
    assert site.ask("POST", "/", "a=b", host=OPERATOR, Content_Type=content_type).status == 405
    assert runs(site) == before


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", f"https://{OPERATOR}"])
def test_a_foreign_page_opens_no_websocket(site: Site, origin: str | None) -> None:
    """Prevents a page elsewhere from listening to runs: browsers do not keep WebSockets to their origin."""
    assert site.websocket(origin).startswith(b"HTTP/1.1 403 ")


def test_passwords_do_not_reach_dagster(tmp_path: Path) -> None:
    """Prevents a login that ends in the logs of the process behind the proxy."""
    seen: list[dict[str, str]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Nothing to stderr."""

    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Listener))
        stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        site = start_nginx(stack, tmp_path, {"127.0.0.1:3000": address, "127.0.0.1:3001": address})
        assert site.ask("GET", "/", Cookie="session=1").body == "ok"
        # The process behind answers 501 to what is no GET: the refusal is the proxy's.
        assert {site.ask(method, "/").status for method in ("POST", "PUT", "DELETE", "OPTIONS")} == {405}
    assert {"Authorization", "Cookie"} & set(seen[0]) == set() and seen[0]["Host"] == VIEWER


def test_single_sign_on_takes_the_place_of_passwords(tmp_path: Path) -> None:
    """Prevents an OIDC file that lets in who has not signed in, or a viewer as operator."""

    class SignOn(BaseHTTPRequestHandler):
        """What oauth2-proxy answers: 202 for a session of the group, else 401; and the UI behind it."""

        def do_GET(self) -> None:
            groups = {"_oauth2_proxy=viewer": "credit-viewers", "_oauth2_proxy=operator": "credit-operators"}
            status = 200
            if self.path.startswith("/oauth2/auth"):
                asked = self.path.partition("allowed_groups=")[2]
                status = 202 if groups.get(self.headers.get("Cookie", "")) == asked else 401
            body = f"{self.path}".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to stderr."""

    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), SignOn))
        stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        changes = dict.fromkeys(["127.0.0.1:3000", "127.0.0.1:3001", "127.0.0.1:4180"], address)
        site = start_nginx(stack, tmp_path, {**changes, "nginx-basic.conf;": "nginx-oidc.conf;"})
        refused = site.ask("GET", "/runs", signed_in=False)
        assert refused.status == 302 and "/oauth2/sign_in" in refused.headers["location"]
        assert refused.headers["x-frame-options"] == "DENY"
        for host, own, other in ((VIEWER, "viewer", "operator"), (OPERATOR, "operator", "viewer")):
            assert (
                site.ask("GET", "/runs", host=host, signed_in=False, Cookie=f"_oauth2_proxy={own}").body
                == "/runs"
            )
            assert (
                site.ask("GET", "/runs", host=host, signed_in=False, Cookie=f"_oauth2_proxy={other}").status
                == 302
            )
        assert site.ask("GET", "/oauth2/sign_in", signed_in=False).status == 200
        assert site.graphql(LAUNCH, Authorization="").status == 302
