#!/usr/bin/env python3
"""The Vulkan tests of this build with Debian 13's software renderer, the one of its backports.

vulkan-newer.py BINARY... - Debian 12's lavapipe lacks what newer drivers have, cooperative matrices above
all. The packages that are needed are fetched by the machine's own apt, from its own mirror and with its
keys, into a folder of their own in the user's cache, and unpacked there (nothing is installed, mounted or
run as root); the tests are started with the dynamic loader and the libraries of that folder. A finished
folder is used again. Skipped, with the reason, where there is no Debian apt or no network. Prints TAP.
"""
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

RELEASE, BACKPORTS = "trixie", "trixie-backports"
PACKAGES = ["mesa-vulkan-drivers/" + BACKPORTS, "libvulkan1", "vulkan-validationlayers", "libglib2.0-0t64"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = ["apt-get", "dpkg", "dpkg-deb"]
DRIVER, LAYERS = "usr/share/vulkan/icd.d/lvp_icd*.json", "usr/share/vulkan/explicit_layer.d"
MINUTES = 8  # for all tests together
ONLY = {"vulkan-coop": ["-p", "/vulkan/coop/device", "-p", "/vulkan/coop/device-small"]}
SKIPPED = re.compile(r"^ok \d+ (\S+) # SKIP", re.M)


class Unavailable(Exception):
    pass


def run(command, what):
    """Its output; Unavailable with its last lines."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Unavailable(f"{what}: " + " ".join((done.stderr or done.stdout).split())[-200:])
    return done.stdout


def mirror():
    """Where this machine gets Debian's packages from."""
    text = run(["apt-get", "indextargets", "--format", "$(SITE)|$(ORIGIN)|$(LABEL)|$(COMPONENT)"],
               "apt-get indextargets")
    for line in text.splitlines():
        site, origin, label, component = line.split("|")
        if (origin, label, component) == ("Debian", "Debian", "main"):
            return site
    raise Unavailable("this machine's apt has no mirror of Debian")


def fetch(folder):
    """Unpacks the packages, and all that they need, below the folder."""
    apt, root = folder / "apt", folder / "root"
    for name in ["state/lists/partial", "cache/archives/partial"]:
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    site = mirror()
    (apt / "sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {site} {suite} main\n"
                                              for suite in (RELEASE, BACKPORTS)))
    settings = {"Dir::Etc::SourceList": apt / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
                "Dir::Etc::PreferencesParts": "/dev/null", "Dir::State": apt / "state",
                "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
                "APT::Sandbox::User": "", "Debug::NoLocking": "true", "Acquire::Retries": "2",
                "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20"}
    get = ["apt-get", "-q"] + [f"-o{key}={value}" for key, value in settings.items()]
    run(get + ["update", "--error-on=any"], "the list of packages")
    run(get + ["install", "-y", "--download-only", "--no-install-recommends"] + PACKAGES, "the packages")
    root.mkdir()
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        run(["dpkg-deb", "-x", package, root], package.name)
    if not list(root.glob(DRIVER)):
        raise Unavailable("the packages have no software renderer")
    shutil.rmtree(apt)


def folder_with_packages():
    """The finished folder, made by the first who needs it."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing or not os.path.exists(KEYRING):
        raise Unavailable(f"{missing[0] if missing else KEYRING} is not here: this is not Debian")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "weir-test"
    cache.mkdir(parents=True, exist_ok=True)
    what = run(["dpkg", "--print-architecture"], "dpkg") + repr(PACKAGES)
    final = cache / ("vulkan-newer-" + hashlib.sha256(what.encode()).hexdigest()[:12])
    with open(cache / "vulkan-newer.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="vulkan-newer.") as unfinished:
                fetch(pathlib.Path(unfinished))
                os.rename(unfinished, final)
                os.mkdir(unfinished)  # for its removal
    return final


def setting(folder):
    """The command that starts a program there, and its environment."""
    root = folder / "root"
    loaders = [p for p in sorted(root.glob("usr/lib*/ld-linux*.so.*")) if p.is_file()]
    libraries = [p.parent for p in sorted(root.glob("usr/lib/*/libvulkan.so.1"))]
    if not loaders or not libraries:
        raise Unavailable(f"{folder} has no dynamic loader; remove that folder, and it is made anew")
    env = dict(os.environ, VK_DRIVER_FILES=str(sorted(root.glob(DRIVER))[0]), VK_LAYER_PATH=str(root / LAYERS),
               XDG_CACHE_HOME=str(folder / "cache"), MESA_SHADER_CACHE_DIR=str(folder / "cache"))
    for name in ["LD_LIBRARY_PATH", "LD_PRELOAD", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "WEIR_VULKAN_DEVICE"]:
        env.pop(name, None)
    return [loaders[0], "--library-path", libraries[0]], env


def check(start, env, binary, number, until):
    """Runs one test program; prints its result and what it skipped."""
    name = pathlib.Path(binary).name.removeprefix("test-")
    try:
        done = subprocess.run([*start, binary, *ONLY.get(name, [])], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=max(1, until - time.monotonic()))
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as slow:
        output, status = (slow.stdout or b"").decode(errors="replace") + "\nthe time is over", 1
    skipped = SKIPPED.findall(output)
    # Cooperative matrices are what this is for: there they are.
    good = status == 0 and not (name == "vulkan-coop" and skipped)
    for line in output.splitlines() if not good else [f"skipped: {test}" for test in skipped]:
        print("# " + line)
    print(f"{'ok' if good else 'not ok'} {number} vulkan-newer/{name}", flush=True)
    return good


def main(binaries):
    until = time.monotonic() + 60 * MINUTES
    try:
        start, env = setting(folder_with_packages())
    except (Unavailable, OSError, subprocess.TimeoutExpired) as reason:
        print(f"1..0 # SKIP {' '.join(str(reason).split())}")
        return 0
    print(f"1..{len(binaries)}", flush=True)
    results = [check(start, env, binary, number, until) for number, binary in enumerate(binaries, 1)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
