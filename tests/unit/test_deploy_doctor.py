"""What doctor says of domains, certificates and the clock, without an engine."""

from __future__ import annotations

import threading
import time

import pytest

from paas.deploy.session import Session
from paas.deploy.upkeep import doctor, doctor_names
from paas.model.caller import Caller
from paas.model.certificate import self_signed
from paas.model.names import AppName


def test_where_domains_lead(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    app = session.apps.create(AppName("a"))
    for domain in ("here.example.com", "elsewhere.example.com", "nowhere.example.com", "silent.example.com", "*.example.com"):
        session.domains.add(app.id, domain)
    silence = threading.Event()

    def answer(name: str) -> set[str]:
        if name.startswith("silent"):
            silence.wait()
        known = {"here.example.com": {"127.0.0.1"}, "elsewhere.example.com": {"192.0.2.7"}}
        return known.get(name, set())

    monkeypatch.setattr(doctor_names, "_addresses", answer)
    monkeypatch.setattr(doctor_names, "SECONDS", 0.2)
    found = [item.text for item in doctor_names.look_at_names(session)]
    silence.set()
    assert found == [
        "elsewhere.example.com (a) leads to 192.0.2.7, which is not an address of this machine",
        "nowhere.example.com (a) has no address",
        "silent.example.com (a): the name server did not answer in 0 s",
    ]


def test_the_machine_s_own_addresses() -> None:
    assert "127.0.0.1" in doctor_names.own_addresses()


def test_certificates_that_end(session: Session) -> None:
    made, _ = self_signed("a.example.com", {})
    days = {"good": 90, "soon": 3, "over": -2}
    for name, left in days.items():
        app = session.apps.create(AppName(name))
        session.certificates.set(app, made)
        session.database.execute(
            "UPDATE certificates SET expires_at = ? WHERE app_id = ?", (int(time.time()) + left * 86400, app.id)
        )
    found = {item.level: item for item in doctor._certificates(session)}
    assert "over's for a.example.com expired 2 days ago" in found["problem"].text
    assert found["problem"].mend == "paas certs:update over CRT KEY"
    assert "soon's" in found["warning"].text and found["ok"].text == "There are 3"


def test_a_clock_that_went_back(session: Session) -> None:
    record = session.operations.start(None, "x", "", Caller("admin", "host"))
    assert [item.level for item in doctor._clock(session)] != ["problem"]
    session.database.execute("UPDATE operations SET created_at = ? WHERE id = ?", (time.time() + 7200, record.id))
    [finding] = doctor._clock(session)
    assert (finding.level, finding.text) == ("problem", "It is 2.0 h behind the last operation's")


def test_a_look_that_fails_is_a_problem(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(session: Session) -> None:
        raise OSError("strange")

    monkeypatch.setattr(doctor, "LOOKS", {"this": fails, "that": fails})
    assert [(item.check, item.level, item.text) for item in doctor.examine(session)] == [
        ("this", "problem", "strange"),
        ("that", "problem", "strange"),
    ]
