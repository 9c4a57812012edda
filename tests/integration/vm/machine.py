# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small virtual machine with Debian's kernel, for what containers cannot do: dm-crypt, audit rules, a TPM, boots.

The image is made from the machine's own package sources and kept in .cache/vm under the digest of its recipe. Packages
that roles install lie in it as downloaded archives, so that the guest needs no network but the loopback forwarding to
its ssh. No virtualisation of the processor is needed; KVM is used where it works.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
CACHE = CLONE / ".cache" / "vm"
# What the guest sees the host's loopback address as (QEMU's user networking).
HOST = "10.0.2.2"

SUITE = "bookworm"
INSTALLED = (
    "systemd systemd-sysv dbus udev kmod procps iproute2 openssh-server python3 python3-apt ca-certificates zstd "
    "initramfs-tools linux-image-cloud-amd64"
).split()
DOWNLOADED = ("cryptsetup-bin openssl e2fsprogs xfsprogs clevis clevis-luks clevis-systemd tpm2-tools auditd").split()

# What is started ends with the tests, also when they are killed.
_WITH_US = ["setpriv", "--pdeathsig", "KILL"]

# Runs in the new root file system. Only what the boot of this machine needs goes into the initramfs, which makes it a
# third in size; what has nothing to do for a machine that lives for some minutes does not run.
_SETUP = """
set -eu
printf 'MODULES=list\\nCOMPRESS=zstd\\nRESUME=none\\n' > /etc/initramfs-tools/conf.d/vm
printf 'virtio_pci\\nvirtio_blk\\next4\\n' >> /etc/initramfs-tools/modules
update-initramfs -u
echo 'APT::Install-Recommends "false";' > /etc/apt/apt.conf.d/90vm
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
printf '[Match]\\nType=ether\\n[Network]\\nAddress=10.0.2.15/24\\n' > /etc/systemd/network/vm.network
printf '/dev/vda / ext4 rw,noatime 0 1\\n' > /etc/fstab
echo vm > /etc/hostname
: > /etc/machine-id
systemctl enable systemd-networkd.service
systemctl mask systemd-networkd-wait-online.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer \\
    e2scrub_reap.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer
"""


def _run(argv: Sequence[str], **options: object) -> str:
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{said}")
    return str(done.stdout)


@dataclass(frozen=True)
class Image:
    """What a machine boots from: kernel, initramfs, a raw root file system, and the keys of its ssh."""

    folder: Path

    kernel = property(lambda self: self.folder / "vmlinuz")
    initramfs = property(lambda self: self.folder / "initrd.img")
    root = property(lambda self: self.folder / "root.img")
    key = property(lambda self: self.folder / "id_ed25519")
    host_key = property(lambda self: self.folder / "host_key.pub")


def image() -> Image:
    """The image of this recipe, made when it is not in the cache (about a minute and a half)."""
    sources = _sources()
    recipe = repr((SUITE, INSTALLED, DOWNLOADED, _SETUP, sources, _root_size()))
    folder = CACHE / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.iterdir():
            shutil.rmtree(old)
        being_made = folder.with_suffix(".new")
        being_made.mkdir()
        _make(being_made, sources)
        being_made.rename(folder)
    return Image(folder)


def _root_size() -> str:
    return "3G"


def _sources() -> str:
    """The machine's own sources of packages, as one file's content for the Debian archive."""
    files = sorted(Path("/etc/apt/sources.list.d").glob("debian.sources")) or [Path("/etc/apt/sources.list")]
    return "\n".join(file.read_text() for file in files)


def _make(folder: Path, sources: str) -> None:
    root = folder / "root"
    (folder / ("apt.sources" if "Types:" in sources else "apt.list")).write_text(sources)
    listed = next(folder.glob("apt.*"))
    download = "apt-get install --yes --no-install-recommends --download-only " + " ".join(DOWNLOADED)
    _run(
        ["mmdebstrap", "--variant=minbase", f"--include={','.join(INSTALLED)}", "--skip=cleanup/apt",
         f'--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {download}', SUITE, str(root), str(listed)]
    )  # fmt: skip
    _run(["chroot", str(root), "sh", "-c", _SETUP])
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vm", "-f", str(folder / "id_ed25519")])
    ssh = root / "root" / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(folder / "id_ed25519.pub", ssh / "authorized_keys")
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", folder / "host_key.pub")
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), folder / "vmlinuz")
    shutil.copy(next((root / "boot").glob("initrd.img-*")), folder / "initrd.img")
    _run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(folder / "root.img"), _root_size()])
    shutil.rmtree(root)


@functools.cache
def accelerator() -> list[str]:
    """QEMU's options for the processor: KVM where a kernel really starts under it, software emulation elsewhere."""
    kvm = ["-accel", "kvm", "-cpu", "host"]
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        probe = ["qemu-system-x86_64", "-machine", "q35", *kvm, "-nodefaults", "-display", "none", "-serial", "stdio",
                 "-no-reboot", "-kernel", str(image().kernel), "-append", "console=ttyS0 panic=-1"]  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(probe, capture_output=True, text=True, timeout=10, check=False)
            if done.returncode == 0 and "Kernel panic" in done.stdout:  # it has no root file system
                return kvm
    return ["-accel", "tcg,thread=multi", "-cpu", "max"]


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """One virtual machine, with disks of its own; the guest finds them as /dev/disk/by-id/virtio-<name>.

    Args:
        folder: for its files; thrown away by whoever gave it.
        disks: size in bytes by name.
        tpm: the socket of a software TPM, if it is to have one.
    """

    folder: Path
    disks: dict[str, int] = field(default_factory=dict)
    tpm: Path | None = None
    memory: int = 1024

    def __post_init__(self) -> None:
        self.image = image()
        self.port = free_port()
        self.root = self.folder / "root.img"
        self.known_hosts = self.folder / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        _run(["cp", "--sparse=always", str(self.image.root), str(self.root)])
        kind, key = self.image.host_key.read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        for name, size in self.disks.items():
            with self.disk(name).open("wb") as file:
                file.truncate(size)

    def disk(self, name: str) -> Path:
        """The raw content of a disk, on this machine."""
        return self.folder / f"disk-{name}.img"

    def start(self) -> None:
        """Boot, until ssh answers."""
        argv = [
            *_WITH_US, "qemu-system-x86_64",
            "-machine", "q35", *accelerator(), "-smp", "2", "-m", str(self.memory), "-nodefaults",
            "-no-user-config", "-display", "none", "-serial", f"file:{self.folder}/serial.log",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initramfs),
            "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet",
            "-device", "virtio-rng-pci", "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            "-device", "virtio-net-pci,netdev=net",
        ]  # fmt: skip
        for name, path in [("root", self.root), *((name, self.disk(name)) for name in self.disks)]:
            argv += ["-drive", f"file={path},if=none,id={name},format=raw,cache=unsafe"]
            argv += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
        if self.tpm:
            argv += ["-chardev", f"socket,id=tpm,path={self.tpm}", "-tpmdev", "emulator,id=tpm0,chardev=tpm"]
            argv += ["-device", "tpm-crb,tpmdev=tpm0"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=(self.folder / "qemu.log").open("ab"))
        self.wait()

    def wait(self, seconds: float = 300) -> None:
        """Wait until ssh answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"qemu ended: {(self.folder / 'qemu.log').read_text()[-2000:]}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self.ssh("true", check=False, timeout=10).returncode == 0:
                    return
            time.sleep(1)
        raise RuntimeError(f"no ssh after {seconds} s; its console: {(self.folder / 'serial.log').read_text()[-2000:]}")

    def ssh(
        self, command: str, stdin: bytes = b"", check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root."""
        argv = ["ssh", "-i", str(self.image.key), "-p", str(self.port), "-o", f"UserKnownHostsFile={self.known_hosts}",
                "-o", "GlobalKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
                "-o", "LogLevel=ERROR", "-o", "ControlPath=none", "root@127.0.0.1", command]  # fmt: skip
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False)
        if check and done.returncode:
            said = f"{done.stdout.decode()}\n{done.stderr.decode()}"
            raise AssertionError(f"{command}: exit status {done.returncode}\n{said}")
        return done

    def read(self, command: str) -> str:
        """What a command prints, without the last newline."""
        return self.ssh(command).stdout.decode().strip()

    def reboot(self) -> None:
        """Reboot, until ssh answers with another boot id."""
        before = self.read("cat /proc/sys/kernel/random/boot_id")
        self.ssh("systemctl reboot", check=False)
        end = time.monotonic() + 300
        while time.monotonic() < end:
            time.sleep(2)
            with contextlib.suppress(subprocess.TimeoutExpired):
                now = self.ssh("cat /proc/sys/kernel/random/boot_id", check=False, timeout=10)
                if now.returncode == 0 and now.stdout.decode().strip() != before:
                    return
        raise RuntimeError(f"it did not come back; its console: {(self.folder / 'serial.log').read_text()[-2000:]}")

    def inventory(self) -> str:
        """An inventory for Ansible with this one host, vm1."""
        return (
            f"vm1 ansible_host=127.0.0.1 ansible_port={self.port} ansible_user=root "
            f"ansible_ssh_private_key_file={self.image.key} "
            f"ansible_ssh_extra_args='-o UserKnownHostsFile={self.known_hosts}' "
            "ansible_python_interpreter=/usr/bin/python3\n"
        )

    def stop(self) -> None:
        """Power off hard: nothing of this machine is wanted any more."""
        if self._process:
            self._process.kill()
            self._process.wait()


class Tang:
    """A real Tang server on a port of the loopback address; `down` refuses connections, `up` takes them again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        _run(["/usr/libexec/tangd-keygen", str(folder)])
        self._listener: socket.socket | None = None
        self.up()

    @property
    def url(self) -> str:
        """Where the guest reaches it."""
        return f"http://{HOST}:{self.port}"

    @property
    def thumbprint(self) -> str:
        """Of its signing key."""
        for path in self.folder.glob("*.jwk"):
            if '"sign"' in path.read_text():
                return _run(["jose", "jwk", "thp", "-a", "S256", "-i", str(path)]).strip()
        raise RuntimeError("no signing key")

    def up(self) -> None:
        """Listen; each connection is served by a tangd of its own, as systemd would do it."""
        if self._listener:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Stop listening."""
        if self._listener:
            # Closing alone does not wake up the thread that accepts.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection:
                subprocess.run(
                    ["/usr/libexec/tangd", str(self.folder)], stdin=connection.fileno(), stdout=connection.fileno(),
                    stderr=subprocess.DEVNULL, check=False,
                )  # fmt: skip


@contextlib.contextmanager
def software_tpm(folder: Path) -> Iterator[Path]:
    """A TPM 2.0 in software; gives the socket that `Machine` takes."""
    folder.mkdir(parents=True)
    path = folder / "socket"
    process = subprocess.Popen(
        [*_WITH_US, "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={path}",
         "--flags", "startup-clear"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 10
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.1)
        yield path
    finally:
        process.kill()
        process.wait()
