"""A real nginx that speaks TLS in front of a Prefect server, under an authority of its own. It
knows the server by the name `localhost` as well, as an ingress does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from prefect_server import PrefectServer, free_port, is_listening
from waiting import wait_until


class TlsProxy:
    """`https://127.0.0.1:<port>`, for programs that trust `authority`."""

    def __init__(self, directory: Path, upstream: PrefectServer):
        self._directory = directory
        self._upstream = upstream
        self._port = free_port()
        self._named_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.authority = directory / "ca.pem"

    @property
    def api_url(self) -> str:
        return f"https://127.0.0.1:{self._port}/api"

    @property
    def named_api_url(self) -> str:
        """Where no other name than `localhost` is served."""
        return f"https://localhost:{self._named_port}/api"

    def start(self) -> None:
        self._certify()
        configuration = self._directory / "nginx.conf"
        configuration.write_text(self._configuration())
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [nginx, "-p", str(self._directory), "-c", str(configuration)]
        log = (self._directory / "nginx.log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: is_listening(self._port), "nginx listens")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def _configuration(self) -> str:
        at = self._directory
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""
            daemon off; master_process off; {user} pid {at}/nginx.pid; error_log {at}/error.log;
            events {{}}
            http {{
              access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
              fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
              map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
              server {{
                listen 127.0.0.1:{self._named_port} ssl default_server; return 421;
                ssl_certificate {at}/leaf.pem; ssl_certificate_key {at}/leaf.key;
              }}
              server {{
                listen 127.0.0.1:{self._named_port} ssl; server_name localhost;
                listen 127.0.0.1:{self._port} ssl;
                ssl_certificate {at}/leaf.pem; ssl_certificate_key {at}/leaf.key;
                location / {{
                  proxy_pass {self._upstream.url}; proxy_http_version 1.1;
                  proxy_set_header Upgrade $http_upgrade;
                  proxy_set_header Connection $connection_upgrade;
                  proxy_set_header Host $http_host;
                }}
              }}
            }}
        """

    def _certify(self) -> None:
        (self._directory / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        for arguments in (
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
            "req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=prefect",
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2"
            " -extfile leaf.ext",
        ):
            command = ["openssl", *arguments.split(" ")]
            subprocess.run(command, cwd=self._directory, check=True, capture_output=True)
