"""Real servers on loopback for DVC's remotes: S3 by rclone, SSH by OpenSSH."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "key-of-the-test", "secret-of-the-test"


@contextmanager
def serve_s3(folder: Path, *, path: str) -> Iterator[str]:
    """Serve a folder, its folders being buckets; give the address of the endpoint."""
    port = _free_port()
    address = f"127.0.0.1:{port}"
    rclone = shutil.which("rclone", path=path) or "rclone"
    command = [rclone, "serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}"]
    with _running([*command, str(folder)], port):
        yield f"http://{address}"


@contextmanager
def serve_ssh(folder: Path, *, home: Path) -> Iterator[str]:
    """Run ``sshd`` for this user, whose new key goes under a home; give user@host:port.

    Parameters
    ----------
    folder
        The server's own: its key and configuration.
    home
        Of the client.
    """
    port = _free_port()
    ssh = home / ".ssh"
    for where in (folder, ssh):
        where.mkdir(mode=0o700)
    for key in (folder / "host_key", ssh / "id_ed25519"):
        _generate_key(key)
    host_key = (folder / "host_key.pub").read_text()
    (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    settings = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": folder / "host_key",
        "PidFile": folder / "pid", "AuthorizedKeysFile": ssh / "id_ed25519.pub",
        "PasswordAuthentication": "no", "UsePAM": "no", "PermitRootLogin": "prohibit-password",
        "StrictModes": "no", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:  # it then wants the folder that the system's own service would make
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with _running(["/usr/sbin/sshd", "-D", "-f", str(config)], port):
        yield f"{getpass.getuser()}@127.0.0.1:{port}"


def _generate_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, timeout=20)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server from when it takes connections to the end of the context."""
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise TimeoutError(command)
        yield
    finally:
        server.terminate()
        server.wait(20)
