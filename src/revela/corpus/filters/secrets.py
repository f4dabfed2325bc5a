"""Keys, tokens and passwords, by the patterns of detect-secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

_BEFORE = 120  # characters before a long word that say what it is
# Keys hold a digit; the few that may do without begin in a known way, or are 24 small letters.
_KEY_LIKE = re.compile(r"\d|[a-z]{24}|A3T|ABIA|ACCA|AKIA|ASIA|gh[pousr]_|AKC|xox")
_TOO_LONG = 2000  # data in a line; some of the patterns take time with the square of its length
_LONG_WORD = 20  # a key of any of these services makes a word of at least so many characters


@dataclass(frozen=True)
class _Detector:
    """A plugin's patterns and what a text must hold for them to be worth a search.

    Attributes:
        trigger: searched in the long words of the text alone.
        group: the secret is the pattern's first group, if it has one; otherwise all that matches.
    """

    plugin: type[RegexBasedDetector]
    trigger: re.Pattern[str]
    group: bool = False


# Assignments to names like `api_key` are looked for only where a value of the right form stands.
_VALUE = re.compile(r"[0-9a-fA-F]{32}|[a-z]{24}|(?=[A-Za-z_-]*\d)[\w-]{44}")

# All plugins of detect-secrets 1.5 with a pattern of their own. Left out: those that go by entropy (any
# hash, identifier or compressed word is random enough) and by keyword (`password = input()` is code);
# IPPublic, which is `ip_addresses`; and PrivateKey, which finds only the first line of a key.
_DETECTORS = (
    _Detector(ArtifactoryDetector, re.compile(r"AKC|AP[\dA-F]")),
    _Detector(AWSKeyDetector, re.compile(r"A3T|ABIA|ACCA|AKIA|ASIA|[0-9a-zA-Z/+]{40}"), group=True),
    _Detector(AzureStorageKeyDetector, re.compile(r"AccountKey=")),
    _Detector(CloudantDetector, _VALUE, group=True),
    _Detector(DiscordBotTokenDetector, re.compile(r"[MNO][\w-]{23,25}\.")),
    _Detector(GitHubTokenDetector, re.compile(r"gh[pousr]_")),
    _Detector(GitLabTokenDetector, re.compile(r"gl[a-z]{3,5}-|GR1348941")),
    _Detector(IbmCloudIamDetector, _VALUE, group=True),
    _Detector(IbmCosHmacDetector, _VALUE, group=True),
    _Detector(JwtTokenDetector, re.compile(r"eyJ")),
    _Detector(MailchimpDetector, re.compile(r"-us\d")),
    _Detector(NpmDetector, re.compile(r":_authToken=")),
    _Detector(OpenAIDetector, re.compile(r"T3BlbkFJ")),
    _Detector(PypiTokenDetector, re.compile(r"pypi-Ag")),
    _Detector(SendGridDetector, re.compile(r"SG\.")),
    _Detector(SlackDetector, re.compile(r"xox[abposr]-|hooks\.slack\.com", re.IGNORECASE)),
    _Detector(SoftlayerDetector, _VALUE, group=True),
    _Detector(SquareOAuthDetector, re.compile(r"sq0csp-")),
    _Detector(StripeDetector, re.compile(r"[rs]k_live_")),
    _Detector(TelegramBotTokenDetector, re.compile(r"\d{8,10}:")),
    _Detector(TwilioKeyDetector, re.compile(r"(?:AC|SK)[a-z0-9]{32}")),
)
_BASIC_AUTH = tuple(BasicAuthDetector.denylist)

# The armour of PEM and OpenPGP with what it holds; a key that lost its end goes as far as its letters.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----(?:\\n|[\s\"'+]){1,20}"
    r"(?:(?:[\w-]+: [^\n]*\n)*+(?:[A-Za-z0-9+/=]|\\n|[\s\"'+,]){40,}+)(?:-----END (?P=kind)-----)?"
)
# What manuals put where a password belongs, and what redaction leaves there.
_PLACEHOLDER = re.compile(
    r"[<{$%*\[].*|(?:my|your|the|some)?[-_]?(?:pass(?:word|wd|phrase)?|pwd|pw|secret|token|key|api[-_]?key|x+|\.+)\d?",
    re.IGNORECASE,
)


def find_secrets(text: str) -> list[tuple[int, int]]:
    """Spans of private keys, of services' keys and tokens, and of passwords in URLs.

    The plugins' own ``analyze_string`` yields values without their places, and of some patterns only
    the prefix; so their patterns (``denylist``) are applied here, around every word long enough for a key.
    """
    return _merged(sorted(span for span in _candidates(text) if "EXAMPLE" not in text[slice(*span)]))


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    if "PRIVATE KEY" in text:
        yield from (found.span() for found in _PRIVATE_KEY.finditer(text))
    if "://" in text and "@" in text:
        for pattern in _BASIC_AUTH:
            yield from (found.span(1) for found in pattern.finditer(text) if _is_real(found))
    long = [word for word in text.split() if _LONG_WORD <= len(word) <= _TOO_LONG and _KEY_LIKE.search(word)]
    joined = "\n".join(long)
    for detector in _DETECTORS:
        if detector.trigger.search(joined):
            for start, end in _places(text, [word for word in long if detector.trigger.search(word)]):
                # An abstract property of old, which mypy takes for a method.
                for pattern in cast(Iterable[re.Pattern[str]], detector.plugin.denylist):
                    group = 1 if detector.group and pattern.groups else 0
                    yield from (found.span(group) for found in pattern.finditer(text, start, end))


def _places(text: str, words: list[str]) -> Iterator[tuple[int, int]]:
    """The surroundings of each word in the text, wide enough for the name that a key is given to."""
    at = 0
    for word in words:
        at = text.index(word, at)
        yield max(0, at - _BEFORE), at + len(word) + 1
        at += len(word)


def _is_real(found: re.Match[str]) -> bool:
    """Whether the password of a URL is neither an example nor the way into one's own machine."""
    user = found.group()[3:].partition(":")[0]
    password, host = found.group(1), found.string[found.end() : found.end() + 9]
    return not (password == user or host == "localhost" or _PLACEHOLDER.fullmatch(password))


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans, those that overlap made one."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
