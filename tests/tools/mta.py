"""Real mail servers for the end-to-end tests: Postfix and Exim, started on free loopback ports.

Nothing of the machine is touched: the programs come from Debian's packages unpacked by
`tools/deps --mta` (never installed, so Postfix and Exim can be there side by side, and no service is
started), or, where that has not run, from the machine's own installation; configuration, queue, logs
and mailboxes are in the test's folder. Both deliver every address to one Maildir and send nothing
elsewhere. With a certificate they offer STARTTLS on `port` and speak TLS from the first byte on
`tls_port`; with a Login they take mail of those who log in only, inside TLS only.

OpenSMTPD is in opensmtpd.py, what Postfix asks about logins in dovecot.py.
"""

import dataclasses
import grp
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

NOBODY = pwd.getpwnam("nobody").pw_uid
NOBODY_GROUP = pwd.getpwnam("nobody").pw_gid
LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib")


class Unavailable(Exception):
    """The server cannot be had on this machine; says why and what to do."""


@dataclasses.dataclass
class Login:
    """The one account that may send. The password is the token of XOAUTH2 and OAUTHBEARER, too."""

    user: str
    password: str
    mechanisms: tuple = ("SCRAM-SHA-256", "PLAIN")


def end_group(process):
    """Ends a process and its children (smtpd, deliveries), which share its group."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.2)
    process.wait(10)


def read_logs(*paths):
    """Those that are there, one after the other."""
    return "\n".join(p.read_text(errors="replace") for p in paths if p.is_file())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def need_root(why):
    """Starts this script again through sudo if it must and can; Unavailable otherwise."""
    if os.geteuid() == 0:
        return
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        kept = ",".join(k for k in os.environ if k.startswith(("VOLLEY_", "ASAN_", "UBSAN_")))
        os.execvp("sudo", ["sudo", "-n", f"--preserve-env={kept}", sys.executable, *sys.argv])
    raise Unavailable(f"{why}; run as root or let sudo work without a password")


def find_root(name, program):
    """The folder that `program` (a path without leading slash) lies under."""
    cache = pathlib.Path(os.environ.get("VOLLEY_MTA_DIR", "/nonexistent"))
    for root in (cache / name, pathlib.Path("/")):
        if (root / program).exists():
            return root
    raise Unavailable(f"/{program} is neither installed nor in {cache / name}; run tools/deps --mta")


class Server:
    """What all have in common: a folder, ports, a process, a Maildir, a log."""

    def __init__(self, folder, tls=None, login=None):
        """`tls`: a pki.Certificate; `login`: a Login."""
        self.dir = pathlib.Path(folder).resolve()
        self.dir.mkdir(exist_ok=True)
        self.tls, self.login = tls, login
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.maildir = self.dir / "mail" / "inbox"
        self.process = None

    def __enter__(self):
        try:
            self.start()
            self.wait_for_greeting(30)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def start(self):
        raise NotImplementedError

    def stop(self):
        if self.process is not None:
            end_group(self.process)
            self.process = None

    def wait_for_greeting(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                    s.settimeout(5)
                    if s.recv(512).startswith(b"220 "):
                        s.sendall(b"QUIT\r\n")
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{type(self).__name__} did not come up:\n{self.log()[-3000:]}")

    def log(self):
        return read_logs(self.log_file)

    def messages(self):
        """The paths of what has been delivered so far."""
        new = self.maildir / "new"
        return sorted(new.iterdir()) if new.is_dir() else []

    def wait_for(self, count, seconds):
        """Waits until `count` messages are in the Maildir, then a little for one too many."""
        deadline = time.monotonic() + seconds
        while len(self.messages()) < count and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1.0)
        return self.messages()


class Postfix(Server):
    """Postfix's master process with its own configuration and queue. Needs root: it changes users."""

    dovecot = None

    def start(self):
        need_root("Postfix's master process must be started by root")
        root = find_root("postfix", "usr/lib/postfix/sbin/master")
        daemons = root / "usr/lib/postfix/sbin"
        # Any two accounts that are neither root's nor nobody's will do for Postfix's own files; the
        # package's are only there when it is installed.
        owner = self.first(pwd.getpwnam, "postfix", "mail")
        group = self.first(grp.getgrnam, "postdrop", "news")
        self.lay_out(pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid)
        self.log_file = self.dir / "postfix.log"
        libraries = str(root / "usr/lib/postfix")
        main_cf = f"""
            compatibility_level = 3.6
            queue_directory = {self.dir}/queue
            data_directory = {self.dir}/data
            daemon_directory = {daemons}
            command_directory = {root}/usr/sbin
            meta_directory = {self.dir}/config
            shlib_directory = {libraries}
            mail_owner = {owner}
            setgid_group = {group}
            default_privs = nobody
            import_environment = MAIL_CONFIG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH={libraries}
            maillog_file = {self.log_file}
            maillog_file_prefixes = {self.dir}
            myhostname = postfix.test
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            mynetworks = 127.0.0.0/8
            mydestination =
            alias_maps =
            alias_database =
            local_recipient_maps =
            virtual_mailbox_domains = static:all
            virtual_mailbox_base = {self.dir}/mail
            virtual_mailbox_maps = static:inbox/
            virtual_uid_maps = static:{NOBODY}
            virtual_gid_maps = static:{NOBODY_GROUP}
            virtual_mailbox_limit = 0
            default_transport = error:this test server sends nothing out
            relay_transport = error:this test server sends nothing out
            smtpd_peername_lookup = no
            biff = no
            {self.tls_settings()}
            {self.login_settings()}
            {self.more_settings()}
            """
        (self.dir / "config/main.cf").write_text(
            "\n".join(line.strip() for line in main_cf.splitlines() if line.strip()) + "\n")
        (self.dir / "config/master.cf").write_text(f"""\
127.0.0.1:{self.port} inet n - n - - smtpd
{self.tls_services()}
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
flush     unix  n - n 1000 0 flush
proxymap  unix  - - n -    - proxymap
error     unix  - - n -    - error
retry     unix  - - n -    - error
virtual   unix  - n n -    - virtual
anvil     unix  - - n -    1 anvil
postlog   unix-dgram n - n - 1 postlogd
""")
        # -s keeps standard output; the new session makes master a process group of its own.
        self.process = subprocess.Popen(
            [daemons / "master", "-c", self.dir / "config", "-s"], stdin=subprocess.DEVNULL,
            stdout=open(self.dir / "master.out", "wb"), stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries,
                 "MAIL_CONFIG": str(self.dir / "config")},
            start_new_session=True)

    def more_settings(self):
        """For a subclass: lines of main.cf, the last of a name counts."""
        return ""

    def tls_settings(self):
        if self.tls is None:
            return "smtpd_tls_security_level = none"
        return f"""
            smtpd_tls_security_level = may
            smtpd_tls_chain_files = {self.tls.key}, {self.tls.pem}
            smtpd_tls_received_header = yes
            smtpd_tls_loglevel = summary, cache"""

    def tls_services(self):
        if self.tls is None:
            return ""
        return (f"127.0.0.1:{self.tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
                "tlsmgr unix - - n 1000? 1 tlsmgr")

    def login_settings(self):
        """Needs self.dir/config to be laid out; starts the service that knows the password."""
        if self.login is None:
            return ""
        import dovecot  # it imports this module
        self.dovecot = dovecot.Dovecot(self.dir / "dovecot", self.login.user, self.login.password,
                                       self.login.mechanisms)
        self.dovecot.start()
        return f"""
            smtpd_sasl_auth_enable = yes
            smtpd_sasl_type = dovecot
            smtpd_sasl_path = {self.dovecot.socket}
            smtpd_sasl_security_options = noanonymous
            smtpd_sasl_authenticated_header = yes
            smtpd_tls_auth_only = yes
            smtpd_relay_restrictions = permit_sasl_authenticated, reject
            smtpd_recipient_restrictions ="""

    def stop(self):
        super().stop()
        if self.dovecot is not None:
            self.dovecot.stop()

    def log(self):
        return super().log() + (self.dovecot.log() if self.dovecot is not None else "")

    @staticmethod
    def first(look_up, *names):
        for name in names:
            try:
                look_up(name)
                return name
            except KeyError:
                pass
        raise Unavailable(f"none of the accounts {', '.join(names)} exists")

    def lay_out(self, owner, drop_group):
        """The folders Postfix expects, with the owners `postfix set-permissions` would give."""
        self.dir.chmod(0o755)
        (self.dir / "config").mkdir()
        queue = self.dir / "queue"
        queue.mkdir()
        for name, mode in (("pid", 0o755), ("active", 0o700), ("bounce", 0o700), ("corrupt", 0o700),
                           ("defer", 0o700), ("deferred", 0o700), ("flush", 0o700),
                           ("hold", 0o700), ("incoming", 0o700), ("private", 0o700),
                           ("saved", 0o700), ("trace", 0o700), ("maildrop", 0o730),
                           ("public", 0o710)):
            (queue / name).mkdir()
            (queue / name).chmod(mode)
            if name != "pid":
                os.chown(queue / name, owner, drop_group if name in ("maildrop", "public") else 0)
        (self.dir / "data").mkdir(mode=0o700)
        os.chown(self.dir / "data", owner, 0)
        (self.dir / "mail").mkdir()
        os.chown(self.dir / "mail", NOBODY, NOBODY_GROUP)


class Exim(Server):
    """Exim's daemon, unprivileged throughout, with CHUNKING and PIPELINING offered."""

    def start(self):
        root = find_root("exim", "usr/sbin/exim4")
        uid = os.geteuid() or NOBODY  # Exim refuses to deliver as root
        gid = pwd.getpwuid(uid).pw_gid
        self.dir.chmod(0o755)
        for name in ("spool", "mail"):
            (self.dir / name).mkdir()
            os.chown(self.dir / name, uid, gid)
        self.log_file = self.dir / "spool/main.log"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        program = root / "usr/sbin/exim4"
        if root != pathlib.Path("/"):
            program = self.copy_in(root)
            environment |= self.names_for_exim(uid, gid)
        kept = " : ".join(k for k in environment if k != "PATH")
        config = self.dir / "exim.conf"
        config.write_text(f"""\
# Exim's "exim_user" is compiled in as Debian-exim; see names_for_exim in mta.py.
keep_environment = {kept}
spool_directory = {self.dir}/spool
log_file_path = {self.dir}/spool/%s.log
log_selector = +smtp_protocol_error +smtp_connection +received_recipients
pid_file_path = {self.dir}/spool/exim.pid
primary_hostname = exim.test
domainlist local_domains = *
deliver_drop_privilege = true
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
{self.tls_settings(uid, gid)}
host_lookup =
recipient_unqualified_hosts =
acl_smtp_rcpt = {"rcpt" if self.login else "accept"}
acl_smtp_data = accept
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
{self.login_sections()}
begin routers
all:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = {self.maildir}
  maildir_format
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add
  mode = 0644
  directory_mode = 0755
begin retry
* * F,1h,10s
""")
        ports = [p for p in (self.port, self.tls_port) if p]
        self.process = subprocess.Popen(
            [program, "-C", config, "-bdf", "-q10s", "-oX",
             "<; " + " ; ".join(f"[127.0.0.1]:{p}" for p in ports)],
            stdin=subprocess.DEVNULL, stdout=open(self.dir / "exim.out", "wb"),
            stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            **({"user": uid, "group": gid, "extra_groups": []} if os.geteuid() == 0 else {}))

    def tls_settings(self, uid, gid):
        if self.tls is None:
            return "tls_advertise_hosts ="
        import pki  # it imports this module
        copy = pki.copy(self.tls, self.dir / "tls", uid, gid)
        return f"""\
tls_advertise_hosts = *
tls_on_connect_ports = {self.tls_port}
tls_certificate = {copy.pem}
tls_privatekey = {copy.key}"""

    def login_sections(self):
        """PLAIN, LOGIN and CRAM-MD5 as Exim has them built in; the password is looked up in a file,
        so that nothing in it means anything to Exim's string expansion."""
        if self.login is None:
            return ""
        logins = self.dir / "logins"
        logins.write_text(f'"{self.login.user}": {self.login.password}\n')
        logins.chmod(0o644)

        def known(user):
            return f"${{lookup{{{user}}}lsearch{{{logins}}}{{$value}}fail}}"

        sections = {"PLAIN": f"driver = plaintext\n  server_prompts = :\n  server_set_id = $auth2\n"
                             f"  server_condition = ${{if eq{{$auth3}}{{{known('$auth2')}}}}}",
                    "LOGIN": f"driver = plaintext\n  server_prompts = Username:: : Password::\n"
                             f"  server_set_id = $auth1\n"
                             f"  server_condition = ${{if eq{{$auth2}}{{{known('$auth1')}}}}}",
                    "CRAM-MD5": f"driver = cram_md5\n  server_set_id = $auth1\n"
                                f"  server_secret = {known('$auth1')}"}
        lines = ["begin acl", "rcpt:", "  accept authenticated = *",
                 "  deny message = relay not permitted", "begin authenticators"]
        for mechanism in self.login.mechanisms:
            lines += [f"{mechanism.lower().replace('-', '_')}:", f"  public_name = {mechanism}",
                      "  server_advertise_condition = ${if def:tls_in_cipher}",
                      f"  {sections[mechanism]}"]
        return "\n".join(lines)

    def copy_in(self, root):
        """The unpacked packages may lie where the account that Exim runs as cannot look."""
        bin_folder = self.dir / "bin"
        bin_folder.mkdir()
        for folder in LIBRARY_FOLDERS:
            for library in (root / folder).glob("*.so*"):
                shutil.copy(library, bin_folder)
        program = bin_folder / "exim4"
        shutil.copyfile(root / "usr/sbin/exim4", program)
        program.chmod(0o755)  # not setuid: the loader would ignore LD_LIBRARY_PATH
        return program

    def names_for_exim(self, uid, gid):
        """Debian's Exim looks up the account Debian-exim, which only exists where the package is
        installed. nss_wrapper gives this one process (and its children) an /etc/passwd with it."""
        for name, extra in (("passwd", f"Debian-exim:x:{uid}:{gid}::/:/bin/false\n"),
                            ("group", f"Debian-exim:x:{gid}:\n")):
            text = pathlib.Path("/etc", name).read_text()
            (self.dir / name).write_text(text + ("" if "Debian-exim:" in text else extra))
        return {"LD_LIBRARY_PATH": str(self.dir / "bin"), "LD_PRELOAD": "libnss_wrapper.so",
                "NSS_WRAPPER_PASSWD": str(self.dir / "passwd"),
                "NSS_WRAPPER_GROUP": str(self.dir / "group")}

    def log(self):
        names = ("spool/main.log", "spool/panic.log", "spool/reject.log", "exim.out")
        return read_logs(*(self.dir / name for name in names))
