"""A folder that programs of an unpacked package can be run in as if they were installed: chroot.

For servers whose paths and accounts are compiled in (Dovecot, OpenSMTPD). What is needed is copied:
the programs, the libraries that ldd names, an /etc/passwd, a few devices. Needs root, and nothing
else that a plain container would not allow.
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import mta


class Jail:
    def __init__(self, folder, package_root):
        self.dir, self.root = pathlib.Path(folder), package_root
        self.lines = {"passwd": [], "group": []}
        for name in ("etc", "dev", "tmp", "lib", "run", "var"):
            (self.dir / name).mkdir(parents=True)
        (self.dir / "var/run").symlink_to("/run")
        (self.dir / "tmp").chmod(0o1777)
        self.add_account("root", 0, 0)
        self.add_account("nobody", mta.NOBODY, mta.NOBODY_GROUP)
        for name, major, minor in (("null", 1, 3), ("urandom", 1, 9)):
            try:
                os.mknod(self.dir / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
                (self.dir / "dev" / name).chmod(0o666)
                open(self.dir / "dev" / name, "rb").close()  # a file system mounted "nodev"?
            except OSError as e:
                raise mta.Unavailable(f"no device files can be made in {folder}: {e}") from None

    def add_account(self, name, uid, gid, home="/"):
        self.lines["passwd"].append(f"{name}:x:{uid}:{gid}::{home}:/bin/sh\n")
        self.lines["group"].append(f"{name}:x:{gid}:\n")
        for file, lines in self.lines.items():
            (self.dir / "etc" / file).write_text("".join(lines))

    def add_folder(self, path, uid=0, gid=0, mode=0o755):
        folder = self.dir / path
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, gid)
        folder.chmod(mode)

    def add(self, *programs):
        """Copies programs (from the package, else from the machine) and their libraries."""
        for program in programs:
            source = self.root / program
            if not source.exists():
                source = pathlib.Path("/") / program
            self.copy(source, self.dir / program)
            self.add_libraries(source)

    def add_libraries(self, program):
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        for name, path in re.findall(r"^\s*(?:(\S+) => )?(/\S+|not found)", done.stdout, re.M):
            if not name:  # the dynamic linker, whose path is in the program
                self.copy(pathlib.Path(path), self.dir / path.lstrip("/"))
                continue
            if path == "not found":
                found = [p for f in ("usr/lib", "lib") for p in (self.root / f).rglob(name)]
                if not found:
                    raise mta.Unavailable(f"{program} needs {name}; run tools/deps --mta")
                path = found[0]
                self.add_libraries(path)
            self.copy(pathlib.Path(path), self.dir / "lib" / name)

    @staticmethod
    def copy(source, target):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)  # follows links; neither owner nor setuid bit
            target.chmod(0o755)

    def start(self, program, *args, output, environment=None):
        """In a process group of its own, for mta.end_group."""
        return subprocess.Popen(["chroot", self.dir, program, *args], cwd="/",
                                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | (environment or {}),
                                start_new_session=True)
