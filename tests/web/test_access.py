"""Who may come in: this user on this machine, or whoever knows the token; no foreign page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.web.access import Asked, is_loopback, refusal

TOKEN = "a-long-enough-token"
HERE = Asked("localhost:3672", own=True)


@pytest.mark.parametrize(
    "host", ["localhost:3672", "127.0.0.1:3672", "[::1]:3672", "LOCALHOST:9", "127.1.2.3"]
)
def test_this_users_own_programs_come_in_by_any_name_of_this_machine(host: str) -> None:
    assert refusal(Asked(host, own=True), None) is None
    assert refusal(Asked(host, origin=f"http://{host}", own=True), None) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example:3672", "localhost.evil.example", "192.168.0.4:3672", "", "0.0.0.0:1", "[::2]:1"],
)
def test_a_name_that_another_may_answer_is_refused_without_a_token(host: str) -> None:
    refused = refusal(Asked(host, origin=f"http://{host}", own=True), None)
    assert refused is not None
    assert refused.status == 403


def test_another_user_of_this_machine_is_refused_without_a_token() -> None:
    refused = refusal(HERE._replace(own=False), None)
    assert refused is not None
    assert refused.status == 403
    assert "another user" in refused.reason


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:3000", "http://localhost", "null", "", "file://"],
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_page_of_another_origin_is_refused_even_with_the_token(
    origin: str, token: str | None
) -> None:
    refused = refusal(HERE._replace(origin=origin, cookie=TOKEN), token)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize("way", ["bearer", "cookie", "query"])
def test_the_token_lets_in_whoever_has_it_from_wherever(way: str) -> None:
    asked = Asked("robot.local:3672")._replace(**{way: TOKEN})
    assert refusal(asked, TOKEN) is None


@given(st.text())
def test_nothing_but_the_token_is_the_token(given_token: str) -> None:
    asked = Asked("robot.local:3672", cookie=given_token)
    refused = refusal(asked, TOKEN)
    assert (refused is None) == (given_token == TOKEN)
    assert refused is None or refused.status == 401


def test_who_gives_no_token_is_asked_for_it_even_on_this_machine() -> None:
    refused = refusal(HERE, TOKEN)
    assert refused is not None
    assert (refused.status, refused.reason) == (401, "a token is needed")


@given(st.text())
def test_no_text_passes_for_loopback_by_accident(name: str) -> None:
    assert is_loopback(name) == (name.lower() in {"localhost", "::1"} or name.startswith("127."))
