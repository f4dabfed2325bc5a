"""Folders and dumps with something in them that is no text: binary files, links, odd names, damaged XML."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from hostile.case import MAX_BYTES, VARIANTS, Case
from revela.settings import FolderSource, StackExchangeSource


def _folder(folder: Path, bad: int, good: int = 1) -> Case:
    (folder / "good.txt").write_text("good")
    return Case(FolderSource(kind="folder", path=folder), good=good, bad=bad)


def binary_file(folder: Path, variant: int) -> Case:
    content = [b"\x89PNG\r\n\x1a\n\0\0", b"\x7fELF\x02\0", bytes(100), gzip.compress(b"a"), b"a\0"][variant]
    (folder / "bad.txt").write_bytes(content)
    return _folder(folder, bad=1)


def broken_utf_16_file(folder: Path, variant: int) -> Case:
    content = [
        b"\xff\xfea",
        b"\xfe\xff\xd8\x00",
        b"\xff\xfe\0\0",
        b"\xff\xfe\0\0a\0\0\0",
        b"\xff\xfe\0\xd8a\0",
    ]
    (folder / "bad.txt").write_bytes(content[variant])
    return _folder(folder, bad=1)


def huge_file(folder: Path, variant: int) -> Case:
    with open(folder / f"bad.{['txt', 'md', 'rst', 'py', 'html'][variant]}", "wb") as file:
        file.truncate([MAX_BYTES + 1, 1 << 30, 1 << 34, 1 << 40, 1 << 42][variant])
    return _folder(folder, bad=1)


def link_loops(folder: Path, variant: int) -> Case:
    """Loops of one to five links, and as many to the folder above."""
    for number in range(variant + 1):
        (folder / f"loop{number}.txt").symlink_to(f"loop{(number + 1) % (variant + 1)}.txt")
        (folder / f"up{number}").symlink_to("..")
    return _folder(folder, bad=variant + 1)


def links_astray(folder: Path, variant: int) -> Case:
    target = ["nowhere", "/nowhere/at/all", "../nowhere", "good.txt/below", "x" * 200][variant]
    (folder / "bad.txt").symlink_to(target)
    return _folder(folder, bad=1)


def no_files(folder: Path, variant: int) -> Case:
    """What has a wanted suffix but is no file is passed over."""
    [
        lambda: os.mkfifo(folder / "bad.txt"),
        lambda: (folder / "bad.txt").mkdir(),
        lambda: (folder / "bad.txt").symlink_to("/dev/zero"),
        lambda: (folder / "bad.txt").symlink_to("."),
        lambda: (folder / "bad.txt").symlink_to("/dev/null"),
    ][variant]()
    return _folder(folder, bad=0)


def odd_names(folder: Path, variant: int) -> Case:
    name = [b"\xff", b"caf\xe9", b"\n", b" ", b"\x01\x7f\xc3\x28"][variant]
    (folder / os.fsdecode(b"a" + name + b".txt")).write_text("good too")
    return _folder(folder, bad=0, good=2)


def deep_html(folder: Path, variant: int) -> Case:
    tag = ["<div>", "<b>", "<ul><li>", "<svg><g>", "<font color=x>"][variant]
    (folder / "bad.html").write_text(tag * (MAX_BYTES // len(tag)))
    return _folder(folder, bad=1)


def entity_bomb(folder: Path, variant: int) -> Case:
    bomb = [
        '<!DOCTYPE p [<!ENTITY a "aa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE p SYSTEM "http://example.org/p.dtd">',
        '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        "<!DOCTYPE p [",
        '<!ENTITY a "aa">',
    ][variant]
    return Case(_posts(folder, bomb, variant), stops="Posts.xml")


def _posts(folder: Path, line: str, at: int) -> StackExchangeSource:
    rows = [f'<row Id="{number}" PostTypeId="1" Body="text" />' for number in range(VARIANTS)]
    lines = ['<?xml version="1.0"?>', "<posts>", *rows, "</posts>"]
    (folder / "Posts.xml").write_text("\n".join([*lines[:at], line, *lines[at:]]))
    return StackExchangeSource(kind="stackexchange", path=folder, unit="post")


def damaged_xml(folder: Path, variant: int) -> Case:
    line = [
        '<row Id="9" PostTypeId="1" Body="a',
        '<row Id="9" PostTypeId="1" Body="&a;" />',
        '<row Id="9" PostTypeId="1" Body="<p>" />',
        '<row Id="9" PostTypeId="1" Id="9" />',
        "junk",
    ][variant]
    return Case(_posts(folder, line, 2 + variant), good=VARIANTS, bad=1)


KINDS = (
    binary_file,
    broken_utf_16_file,
    huge_file,
    link_loops,
    links_astray,
    no_files,
    odd_names,
    deep_html,
    entity_bomb,
    damaged_xml,
)
