"""Fetches the recording of a real robot from PyPI into `assets/`.

It belongs to the tests of `evo`, a package that judges trajectories, and is in its source archive.
pip checks the archive's SHA-256 before it looks into it; then only that file is unpacked.

    python fetch_assets.py
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "assets" / "nav2_turtlebot.mcap"
REQUIREMENT = "evo==1.38.1"
ARCHIVE_SHA256 = "1d63faeeb37604641db65bdd08b0e83e71884071de368058a9c45bdcac3fc3f7"
MEMBER = "evo-1.38.1/test/data/nav2_turtlebot.mcap"
SHA256 = "56b182e06492094a21798c9bbc31ff4c60f5e4de44f72dea76e324c432f449c6"


def main() -> None:
    if TARGET.exists() and sha256_of(TARGET.read_bytes()) == SHA256:
        return
    print(f"fetching {TARGET.name} out of {REQUIREMENT} (GPL-3.0)", flush=True)
    content = fetch()
    if sha256_of(content) != SHA256:
        raise SystemExit(f"{MEMBER}: SHA-256 is {sha256_of(content)}, expected {SHA256}")
    TARGET.parent.mkdir(exist_ok=True)
    part = TARGET.with_suffix(".part")
    part.write_bytes(content)
    part.replace(TARGET)


def fetch() -> bytes:
    """The recording's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{REQUIREMENT} --hash=sha256:{ARCHIVE_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-binary", "evo", "--dest", folder]
        subprocess.run([*command, "--require-hashes", "--requirement", wanted], check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            member = opened.extractfile(MEMBER)
            assert member is not None, f"{archive.name} has no {MEMBER}"
            return member.read()


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
