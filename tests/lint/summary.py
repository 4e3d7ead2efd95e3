#!/usr/bin/env python3
"""tests/summary.py against real runs of meson: a small project whose tests pass, skip, fail and die."""
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
import tap  # noqa: E402

PROGRAMS = {
    "good": "print('1..2\\nok 1 a\\nok 2 b')",
    "skips": "print('1..3\\nok 1 a # SKIP no GPU\\nok 2 b # SKIP no GPU\\nok 3 c # SKIP no browser')",
    "whole": "print('1..0 # SKIP no npm')",
    "wrong": "print('1..3\\nok 1 a\\n# long before')\n"
             "for i in range(100): print(f'# chatter {i}')\n"
             "print('not ok 2 b\\n# expected 3, got 4\\nok 3 c\\n# of another')\nimport sys; sys.exit(1)",
    "dies": "print('1..1\\nok 1 a', flush=True)\nimport os; os.kill(os.getpid(), 11)",
    "leaks": "import sys\nprint('1..1\\nok 1 a')\nsys.stderr.write('noise\\n==9==ERROR: LeakSanitizer: "
             "detected memory leaks\\n' + 'frame\\n' * 100)\nsys.exit(99)",
    "hangs": "print('1..2\\nok 1 a', flush=True)\nimport time; time.sleep(60)",
    "few": "print('1..2\\nok 1 a')",
}


def summary(*names):
    """Runs meson over the named programs and the summary over what it logged."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        lines = ["project('weir')", "python = find_program('python3')"]
        for name in names:
            (root / f"{name}.py").write_text(PROGRAMS[name] + "\n")
            lines.append(f"test('{name}', python, args: files('{name}.py'), protocol: 'tap', "
                         f"suite: '{'check' if name in ('good', 'whole') else 'unit'}', "
                         f"timeout: {2 if name == 'hangs' else 30})")
        (root / "meson.build").write_text("\n".join(lines) + "\n")
        subprocess.run(["meson", "setup", "build"], cwd=root, check=True, capture_output=True)
        subprocess.run(["meson", "test", "-C", "build"], cwd=root, capture_output=True, timeout=120)
        done = subprocess.run([sys.executable, TESTS / "summary.py", f"plain={root}/build/meson-logs"],
                              capture_output=True, text=True, timeout=60)
        assert done.stderr == "", done.stderr
        return done.returncode, done.stdout.splitlines()


def test_all_is_well():
    code, lines = summary("good")
    assert (code, lines) == (0, ["2 passed, 0 failed, 0 skipped"]), (code, lines)


def test_skips_by_reason():
    code, lines = summary("good", "skips", "whole")
    assert code == 0, lines
    assert lines == ["skipped    2  no GPU  (plain: unit / skips)",
                     "skipped    1  no browser  (plain: unit / skips)",
                     "skipped    1  no npm  (plain: check / whole)",
                     "2 passed, 0 failed, 4 skipped"], lines


def test_nothing_but_skips_is_no_success():
    code, lines = summary("skips")
    assert (code, lines[-1]) == (1, "0 passed, 0 failed, 3 skipped"), (code, lines)


def test_failure_with_the_end_of_its_own_output():
    code, lines = summary("good", "wrong")
    assert (code, lines[-1]) == (1, "4 passed, 1 failed, 0 skipped"), (code, lines)
    assert lines[-2] == "FAILED   plain: unit / wrong 2 b", lines
    text = "\n".join(lines)
    assert "not ok 2 b\n# expected 3, got 4" in text and "# chatter 99" in text, text
    assert "of another" not in text and "# chatter 50" not in text and len(lines) < 45, text


def test_programs_that_die_after_passed_cases():
    for name, words in (("dies", "was ended by signal 11"), ("leaks", "ended with status 99"),
                        ("hangs", "ran out of time after"), ("few", "did not report all its tests")):
        code, lines = summary("good", name)
        assert (code, lines[-1]) == (1, "3 passed, 1 failed, 0 skipped"), (name, code, lines)
        assert lines[-2].startswith(f"FAILED   plain: unit / {name} (the program {words}"), lines
        if name == "leaks":  # the report's beginning, not its hundred frames
            at = next(i for i, line in enumerate(lines) if "LeakSanitizer" in line)
            assert lines[at + 1] == "frame" and lines.count("frame") < 40, lines


if __name__ == "__main__":
    sys.exit(tap.run(sys.modules[__name__], "summary"))
