"""An S3-compatible object store on one machine: OpenStack Swift, in the foreground until interrupted.

``/usr/bin/python3 deploy/swift_node.py /srv/swift --port 8080``. Everything is in that folder: settings,
rings, objects, logs. Needs Debian's packages swift-proxy, swift-account, swift-container, swift-object
and memcached, hence Debian's own Python, and a file system with extended attributes (ext4, XFS). It listens
on loopback only. The key pair of its clients is AWS_ACCESS_KEY_ID, written team:user, and
AWS_SECRET_ACCESS_KEY of the environment.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HOST = "127.0.0.1"
STORAGE = ("account", "container", "object")

SWIFT = """\
[swift-hash]
# Part of every object's place on the disk: never change it.
swift_hash_path_suffix = {suffix}
swift_hash_path_prefix = {prefix}

[storage-policy:0]
name = one-copy
default = yes
"""

STORAGE_SERVER = """\
[DEFAULT]
bind_ip = {host}
bind_port = {port}
workers = 1
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
log_level = WARNING

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}

[{kind}-updater]
interval = 30
recon_cache_path = {folder}/recon
"""

PROXY = """\
[DEFAULT]
bind_ip = {host}
bind_port = {port}
workers = {workers}
user = {user}
swift_dir = {folder}
log_level = WARNING

[pipeline:main]
# proxy-logging also says how long an empty answer is; aiohttp, hence DVC, cannot read one that does not.
pipeline = catch_errors proxy-logging cache listing_formats s3api tempauth slo dlo proxy-logging proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:proxy-logging]
use = egg:swift#proxy_logging

[filter:cache]
use = egg:swift#memcache
memcache_servers = {host}:{cache_port}

[filter:listing_formats]
use = egg:swift#listing_formats

[filter:s3api]
use = egg:swift#s3api

[filter:tempauth]
use = egg:swift#tempauth
user_{account} = {secret} .admin

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--port", type=int, default=8080, help="of the S3 interface; the next four are used, too"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of the S3 interface")
    arguments = parser.parse_args()
    programs = ["memcached", *(f"swift-{kind}-server" for kind in (*STORAGE, "proxy"))]
    if any(shutil.which(program) is None for program in programs) or not find_spec("swift"):
        return _refuse(
            "Swift is not installed for this Python. On Debian: apt-get install --no-install-recommends "
            "swift-proxy swift-account swift-container swift-object memcached; then use /usr/bin/python3"
        )
    account, secret = os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not re.fullmatch(r"[A-Za-z0-9-]+:[A-Za-z0-9-]+", account) or not re.fullmatch(r"\S{8,}", secret):
        return _refuse("set AWS_ACCESS_KEY_ID to letters, digits and hyphens as in team:revela, and "
                       "AWS_SECRET_ACCESS_KEY to 8 characters or more without blanks")  # fmt: skip
    folder = arguments.folder.resolve()
    prepare(folder, arguments.port, arguments.workers, account, secret)
    return serve(folder, arguments.port)


def prepare(folder: Path, port: int, workers: int, account: str, secret: str) -> None:
    """Write settings and rings anew, except for what decides where objects lie."""
    (folder / "devices" / "disk").mkdir(parents=True, exist_ok=True)
    for name in ("log", "recon"):
        (folder / name).mkdir(exist_ok=True)
    folder.chmod(0o700)
    common = {"host": HOST, "user": getpass.getuser(), "folder": folder, "workers": workers}
    if not (folder / "swift.conf").exists():
        text = SWIFT.format(suffix=secrets.token_hex(16), prefix=secrets.token_hex(16))
        _write(folder / "swift.conf", text)
    for number, kind in enumerate(STORAGE, start=1):
        _write(folder / f"{kind}.conf", STORAGE_SERVER.format(kind=kind, port=port + number, **common))
        _ring(folder / f"{kind}.ring.gz", port + number)
    user = account.replace(":", "_")
    _write(
        folder / "proxy.conf",
        PROXY.format(port=port, cache_port=port + 4, account=user, secret=secret, **common),
    )


def _ring(path: Path, port: int) -> None:
    """One copy of everything on the one disk: so the ring is the same each time, except for the port."""
    from swift.common.ring import RingBuilder

    builder = RingBuilder(6, 1, 1)
    disk = {"region": 1, "zone": 1, "weight": 1, "device": "disk", "meta": "", "ip": HOST, "port": port}
    builder.add_dev(disk | {"replication_ip": HOST, "replication_port": port})
    builder.rebalance()
    builder.get_ring().save(str(path))


def serve(folder: Path, port: int) -> int:
    """Run the servers, and what corrects listings that could not be written at once, until one ends."""
    commands = {"memcached": ["memcached", "-l", HOST, "-p", str(port + 4), "-u", getpass.getuser()]}
    for program in [f"{kind}-server" for kind in (*STORAGE, "proxy")] + [
        "object-updater",
        "container-updater",
    ]:
        settings = folder / f"{program.partition('-')[0]}.conf"
        commands[program] = [f"swift-{program}", str(settings), "-v"]
    running: dict[str, subprocess.Popen[bytes]] = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for name, command in commands.items():
            with (folder / "log" / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        print(f"S3: http://{HOST}:{port}   logs: {folder / 'log'}   stop: Ctrl-C", flush=True)
        while not (ended := [name for name, process in running.items() if process.poll() is not None]):
            time.sleep(0.5)
        return _refuse(f"{ended[0]} ended by itself; {folder / 'log'} says why")
    except KeyboardInterrupt:
        return 0
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _refuse(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
