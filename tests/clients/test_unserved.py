"""The server refuses what it does not serve, with a sentence, and a paused flow run resumes."""

from __future__ import annotations

import pytest

from leasehold_server import LeaseholdServer
from prefect_user import CLIENT_VERSION, PrefectUser
from waiting import wait_until

pytestmark = pytest.mark.skipif(
    CLIENT_VERSION < (3, 8), reason="older clients do not say which flow asks"
)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("delays", "Leasehold hands no tasks to task workers"),
        ("suspends", "Cannot suspend flows without a deployment."),
        ("waits_for_input", "Leasehold keeps no inputs of runs"),
    ],
)
def test_what_nothing_would_ever_run_is_refused_with_a_sentence(
    user: PrefectUser, program: str, sentence: str
) -> None:
    (refused,) = user.run("unserved.py", program, clean=False).lines("refused")
    assert sentence in refused


def test_a_variable_that_cannot_be_there_is_named_in_the_server_s_log(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    assert user.run("unserved.py", "reads_a_variable", clean=False).lines("result") == ["10"]
    asked_for = "/api/variables/name/batch_size"
    (told,) = [line for line in server.log().splitlines() if asked_for in line]
    assert "reads-a-variable" in told, "which flow asked"


def test_a_paused_flow_goes_on_when_it_is_resumed(
    server: LeaseholdServer, user: PrefectUser
) -> None:
    program = user.start("unserved.py", "pauses")
    program.wait_for("flow-run")
    (run,) = program.lines("flow-run")

    def state() -> str:
        return server.request("GET", f"/flow_runs/{run}").json()["state_type"]

    wait_until(lambda: state() == "PAUSED", "the flow pauses")
    answer = server.request("POST", f"/flow_runs/{run}/resume", {"run_input": None})
    assert answer.status_code == 201, answer.text
    assert program.finish(clean=False).lines("result") == ["went on"]
    assert state() == "COMPLETED"
