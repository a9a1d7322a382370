# SPDX-License-Identifier: GPL-2.0-or-later
"""The KVM engine by itself, on real KVM; and the box that provides it."""


def test_kvmbox_passes_output_errors_and_status(kvmbox):
    done = kvmbox("sh", "-c", "echo out; echo err >&2; ls /dev/kvm; exit 42")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n/dev/kvm\n", "err\n", 42)


def test_kvmbox_timeout_is_reported(kvmbox):
    done = kvmbox("sleep", "1000", timeout=8)
    assert done.returncode == 124
    assert "did not end within 8 s" in done.stderr


def test_kvmbox_missing_file_is_named(kvmbox):
    done = kvmbox("true", files=[("/nonexistent/file", "x")])
    assert done.returncode == 125
    assert "'/nonexistent/file'" in done.stderr


def test_kvm_engine(kvmbox, build):
    files = [(build / "tests/guest/kvm-engine-test", "/kvm-engine-test")]
    done = kvmbox("/kvm-engine-test", files=files)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
