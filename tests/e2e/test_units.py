# SPDX-License-Identifier: Apache-2.0
"""systemd's own checker finds nothing wrong with our units, tmpfiles and sysusers: test_units.py AGENTFSD SOURCE BUILD"""
import os
import shutil
import subprocess
import sys
import tempfile

agentfsd, source, build = (os.path.abspath(a) for a in sys.argv[1:])

if not shutil.which("systemd-analyze"):
    print("systemd-analyze is missing")
    sys.exit(77)


def verify(kind, folder):
    """Copies units to a folder of their own, with the program where it is now, and has them checked."""
    with tempfile.TemporaryDirectory(prefix="agentfs-units.") as tmp:
        with open(os.path.join(build, "systemd", folder, "agentfsd.service"), encoding="utf-8") as f:
            text = f.read()
        start = [l for l in text.splitlines() if l.startswith("ExecStart=")]
        assert len(start) == 1 and start[0].endswith("/bin/agentfsd --foreground"), start
        assert "\nKillMode=process\n" in text and "\nType=notify\n" in text
        program = start[0].removeprefix("ExecStart=").split()[0]
        with open(os.path.join(tmp, "agentfsd.service"), "w", encoding="utf-8") as f:
            f.write(text.replace(program, agentfsd).replace("man:agentfsctl(1)", "file:/usr"))
        shutil.copy(os.path.join(source, "systemd", folder, "agentfsd.socket"), tmp)
        units = [os.path.join(tmp, u) for u in ("agentfsd.service", "agentfsd.socket")]
        env = dict(os.environ, XDG_RUNTIME_DIR=tmp)
        r = subprocess.run(["systemd-analyze", kind, "verify"] + units, env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = [l for l in r.stdout.splitlines() if "agentfsd" in l]
        assert not said and r.returncode == 0, r.stdout


def sysusers():
    """The group is made in a root of its own."""
    if not shutil.which("systemd-sysusers"):
        return
    with tempfile.TemporaryDirectory(prefix="agentfs-units.") as tmp:
        os.makedirs(os.path.join(tmp, "etc"))
        subprocess.run(["systemd-sysusers", "--root=" + tmp,
                        os.path.join(source, "systemd", "agentfs.sysusers")], check=True)
        with open(os.path.join(tmp, "etc/group"), encoding="utf-8") as f:
            assert any(l.startswith("agentfs:") for l in f)


verify("--system", "")
verify("--user", "user")
if os.geteuid() == 0:
    sysusers()
print("ok")
