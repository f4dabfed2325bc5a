"""E-mail addresses, keys and secrets: what is found, what is not, and what stands there afterwards."""

from __future__ import annotations

import time

import pytest
from corpora import document

from revela.corpus.filters.emails import find_emails
from revela.corpus.filters.ip_addresses import find_ip_addresses
from revela.corpus.filters.redaction import Finder, Redactor
from revela.corpus.filters.secrets import find_secrets

BODY = "\n".join(["MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn4ygWyF8PbnGy0AHB7MhgwMbRvI0MBZhpJ"] * 4)
RSA = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----"


def redacted(find: Finder, text: str) -> str:
    """The text without what was found; once more changes nothing."""
    clean = Redactor("x", find)
    result, edits = clean(document(text))
    assert edits == result.count("<x>") - text.count("<x>")
    assert clean(document(result)) == (result, 0)
    return result


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("write to a.b+c@python.org.", "write to <x>."),
        ("A. Author <author@mail.tea-shop.co.uk>, 2020", "A. Author <x>, 2020"),
        ("mailto:me@tea.org?subject=x", "mailto:<x>?subject=x"),
        ("a@tea.org,b@tea.org", "<x>,<x>"),
        ('author_email="me@tea.org"', 'author_email="<x>"'),
    ],
)
def test_addresses_are_hidden(text: str, after: str) -> None:
    assert redacted(find_emails, text) == after


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:tea/pots.git",
        "ssh://user@tea.org/path",
        "user@example.com or me@mail.example.org",
        "@pytest.fixture",
        "npm install left-pad@1.3.0",
        "root@localhost",
        "x @ y.T",
        "see medium.com/@tea",
    ],
)
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    assert redacted(find_emails, text) == text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("key = 'AKIA" + "Q2W3E4R5T6Y7U8I9'", "key = '<x>'"),
        ("ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8 is mine", "<x> is mine"),
        ("xoxb-" + "123456789012-1234567890123-abcDEF123", "<x>DEF123"[:3]),
        ("sk_live_" + "a1b2c3d4e5f6g7h8i9j0k1l2", "<x>"),
        ("glpat-" + "a1b2c3d4e5f6g7h8i9j0", "<x>"),
        ("SG." + "a1b2c3d4e5f6g7h8i9j0k1" + "." + "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f6g7h8i9j0abc", "<x>"),
        ("https://me:h0rse-battery@tea.org/", "https://me:<x>@tea.org/"),
        (
            "ibm_cloud_api_key = '" + "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2" + "'",
            "ibm_cloud_api_key = '<x>'",
        ),
        ("cos_secret_access_key: " + "0a1b2c3d" * 6, "cos_secret_access_key: <x>"),
        (f"before\n{RSA}\nafter", "before\n<x>\nafter"),
        (f"cut:\n{RSA[:200]}", "cut:\n<x>"),
    ],
)
def test_keys_tokens_and_passwords_are_hidden(text: str, after: str) -> None:
    assert redacted(find_secrets, text).startswith(after)


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass()",
        "https://user:password@tea.org and amqp://guest:guest@tea.org",
        "postgresql://scott:tiger@localhost/test",
        "AKIAIOSFODNN7EXAMPLE",
        "sha1 = da39a3ee5e6b4b0d3255bfef95601890afd80709",
        'if "-----BEGIN RSA PRIVATE KEY-----" in text: pass',
        "Token\n" + "-" * 60,
        "https://tea.org/a/very/long/path/with-many-words/and-more-words.html",
    ],
)
def test_names_examples_and_hashes_stay(text: str) -> None:
    assert redacted(find_secrets, text) == text


def test_public_addresses_of_machines_are_hidden_on_request() -> None:
    text = "8.8.8.8, 10.0.0.1, 192.168.1.1, 192.0.2.1, 127.0.0.1, 1.2.3, 999.1.1.1"
    assert redacted(find_ip_addresses, text).startswith(
        "<x>, 10.0.0.1, 192.168.1.1, 192.0.2.1, 127.0.0.1, 1.2"
    )


@pytest.mark.parametrize("find", [find_emails, find_secrets])
@pytest.mark.parametrize("unit", ["a" * 50_000 + "@", "a.", "://a:", "-----BEGIN PRIVATE KEY-----\n", "eyJ0"])
def test_time_grows_with_the_length_of_a_text_made_to_be_slow(find: Finder, unit: str) -> None:
    text = (unit * (200_000 // len(unit) + 1))[:200_000]
    start = time.perf_counter()
    find(text)
    assert time.perf_counter() - start < 5
