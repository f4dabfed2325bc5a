"""Addresses of machines on the internet, IPv4."""

import ipaddress
import re

_ADDRESS = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")


def find_ip_addresses(text: str) -> list[tuple[int, int]]:
    """Spans of public addresses; private, reserved and documentation ones (RFC 5737) are left out.

    A version number of four parts cannot be told from an address.
    """
    return [found.span() for found in _ADDRESS.finditer(text) if _is_public(found.group())]


def _is_public(address: str) -> bool:
    try:
        return ipaddress.IPv4Address(address).is_global
    except ValueError:
        return False
