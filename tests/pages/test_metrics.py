"""The figures for machines, read by a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from leasehold_server import ROOT, LeaseholdServer

MONITORING = ROOT / "docs" / "monitoring"
HOSTILE = "a\u202e\"\\'{{x}}"


def test_a_real_prometheus_scrapes_and_loads_rules_and_dashboard(
    server: LeaseholdServer, tmp_path: Path
):
    server.create("db", 1)
    server.create(HOSTILE, 1)
    server.acquire("db")
    server.send("POST", "/api/leases", {"limits": [{"name": "db"}], "ttl_seconds": 60}, expect=423)
    port = free_port()
    config = (MONITORING / "prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("127.0.0.1:4200", server.url.removeprefix("http://"))
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    prometheus = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}/api/v1"
    try:

        def value(query: str) -> float | None:
            found = ask(f"{base}/query", query=query)
            return float(found["result"][0]["value"][1]) if found and found["result"] else None

        wait_until(lambda: value('leasehold_limit_taken_slots{limit="db"}') == 1, "scraped")
        assert value('leasehold_limit_slots{limit="db"}') == 1
        wait_until(lambda: value('leasehold_limit_granted_total{limit="db"}') == 1, "a grant")
        assert value('leasehold_limit_refused_total{limit="db"}') == 1
        assert value('leasehold_limit_wait_seconds_count{limit="db"}') == 1
        assert value("leasehold_journal_commit_seconds_count") > 0
        created = 'route="/api/v2/concurrency_limits/",method="POST",status="201"'
        assert value(f"leasehold_http_requests_total{{{created}}}") == 2
        assert value("process_resident_memory_bytes{job='leasehold'}") > 1e6
        names = ask(f"{base}/label/limit/values")
        assert HOSTILE in names, names

        rules = ask(f"{base}/rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
        down = ask(f"{base}/targets")["activeTargets"][0]
        assert down["health"] == "up" and not down["lastError"], down
        # Each query of the dashboard is one that Prometheus understands.
        for query in dashboard_queries():
            assert ask(f"{base}/query", query=query) is not None, query
    finally:
        prometheus.terminate()
        prometheus.wait(20)


def test_each_alert_fires_once():
    rules = ROOT / "tests" / "pages" / "alerts.test.yml"
    tested = set(re.findall(r"alertname: (\w+)", rules.read_text()))
    known = set(re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    assert tested == known
    done = subprocess.run(["promtool", "test", "rules", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_to_mend_in_the_figures(server: LeaseholdServer):
    server.create("db", 1)
    server.acquire("db")
    figures = server.text("/metrics")
    assert figures.endswith("# EOF\n")
    names = re.findall(r"^# TYPE (\S+) (\S+)$", figures, re.MULTILINE)
    assert len(names) == len(set(names)) and len(names) > 25
    documented = (ROOT / "docs" / "metrics.md").read_text()
    for name, kind in names:
        if name.startswith("leasehold_"):
            full = f"{name}_total" if kind == "counter" else name
            assert f"`{full}`" in documented, f"docs/metrics.md lacks {full}"


def test_charts_survive_a_restart(server: LeaseholdServer):
    path = server.create("db", 3)
    for _ in range(3):
        server.acquire("db")
    wait_until(lambda: "3 granted" in server.text(path), "the grants are counted")
    server.stop()
    server.start()
    assert "3 granted, 0 refused" in server.text(path)


def test_hostile_names_break_no_line_of_the_log(server: LeaseholdServer):
    server.create(HOSTILE, 1)
    server.acquire(HOSTILE, holder={"kind": "x\ny", "id": "\u202e\n2026 INFO forged"})
    quoted = urllib.parse.quote(HOSTILE)
    server.send("GET", f"/api/v2/concurrency_limits/{quoted}")
    server.stop()
    log = server.log()
    assert "\u202e" not in log
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in log.splitlines() if line), log


def dashboard_queries() -> list[str]:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    filled = {"$instance": ".*", "$limit": ".*", "$__rate_interval": "1m"}
    for name, text in filled.items():
        queries = [query.replace(name, text) for query in queries]
    return queries


def ask(url: str, **query: str) -> Any:
    """What Prometheus answers; `None` if it does not answer yet, or refuses."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def wait_until(condition: Any, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
