# SPDX-License-Identifier: GPL-2.0-or-later
"""Appliances: what `export` writes is what tar, sha256sum, xmllint and QEMU expect; what others pack is imported."""
import hashlib
import subprocess

import pytest

from images import MIB, cella, cella_json, good, qemu_img, raw_disk, run
from machine import CELLA

SIZE = 9 * MIB + 512
NAMESPACE = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"


def item(kind, **elements):
    return f"<Item><r:ResourceType>{kind}</r:ResourceType>" + "".join(
        f"<r:{name}>{value}</r:{name}>" for name, value in elements.items()) + "</Item>"


def descriptor(*files, more=""):
    """Of a machine with a disk in each file."""
    return f"""<?xml version="1.0"?>
<Envelope xmlns="{NAMESPACE}" xmlns:ovf="{NAMESPACE}" xmlns:r="{RASD}">
<References>{"".join(f'<File ovf:id="f{i}" ovf:href="{name}"/>' for i, name in enumerate(files))}</References>
<DiskSection><Info>disks</Info>{"".join(
    f'<Disk ovf:diskId="d{i}" ovf:fileRef="f{i}" ovf:capacity="{SIZE}"/>' for i in range(len(files)))}{more}</DiskSection>
<VirtualSystem ovf:id="vm"><Info>machine</Info><Name>theirs</Name><VirtualHardwareSection><Info>hardware</Info>
{item(3, VirtualQuantity=2)}{item(4, VirtualQuantity=512, AllocationUnits="byte * 2^20")}
{"".join(item(17, HostResource=f"ovf:/disk/d{i}") for i in range(len(files)))}
</VirtualHardwareSection></VirtualSystem></Envelope>"""


def manifest(folder, word, *names):
    text = "".join(f"{word}({name})= {hashlib.new(word.lower(), (folder / name).read_bytes()).hexdigest()}\n" for name in names)
    (folder / "vm.mf").write_text(text)


def pack(folder, *names, tar_format="ustar", options=()):
    good("tar", "-C", folder, f"--format={tar_format}", *options, "-cf", folder / "vm.ova", *names)
    return folder / "vm.ova"


def their_disk(folder, seed=1):
    """A raw disk, and the stream that QEMU makes of it."""
    raw = raw_disk(folder / "disk.raw", SIZE, seed)
    qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, folder / "vm-disk1.vmdk")
    return raw


def refused(*words):
    done = run(CELLA, "image", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_export_is_what_others_expect(tmp_path):
    disks = [raw_disk(tmp_path / "a.raw", SIZE, 1), tmp_path / "b.qcow2"]
    cella("convert", "-f", "raw", "-O", "qcow2", raw_disk(tmp_path / "b.raw", 30 * MIB, 2), disks[1])
    ova, folder = tmp_path / "my vm.ova", tmp_path / "out"
    cella("export", "--name", "<my> & \"machine\"", "--cpus", "3", "--memory", "2G", ova, *disks)
    folder.mkdir()
    good("tar", "-C", folder, "-xf", ova)
    assert good("tar", "-tf", ova).split() == ["my_vm.ovf", "my_vm.mf", "my_vm-disk1.vmdk", "my_vm-disk2.vmdk"]

    sums = [line.replace("SHA256(", "").split(")= ") for line in (folder / "my_vm.mf").read_text().splitlines()]
    assert len(sums) == 3
    check = subprocess.run(["sha256sum", "-c"], input="".join(f"{digest}  {name}\n" for name, digest in sums), cwd=folder,
                           capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout

    def xpath(expression):
        return good("xmllint", "--xpath", f"string({expression})", folder / "my_vm.ovf").strip()
    assert xpath("//*[local-name()='VirtualSystem']/*[local-name()='Name']") == '<my> & "machine"'
    for kind, quantity in ((3, "3"), (4, "2048")):
        assert xpath(f"//*[local-name()='Item'][*[local-name()='ResourceType']={kind}]/*[local-name()='VirtualQuantity']") == quantity
    for number, raw in ((1, tmp_path / "a.raw"), (2, tmp_path / "b.raw")):
        image = folder / f"my_vm-disk{number}.vmdk"
        assert int(xpath(f"//*[local-name()='File'][{number}]/@*[local-name()='size']")) == image.stat().st_size
        assert int(xpath(f"//*[local-name()='Disk'][{number}]/@*[local-name()='capacity']")) == raw.stat().st_size
        qemu_img("compare", "-f", "vmdk", "-F", "raw", image, raw)
        qemu_img("check", "-f", "vmdk", image)

    assert "checksums are right" in cella("import", ova, tmp_path / "again")
    cella("compare", tmp_path / "again/my_vm-disk1.qcow2", tmp_path / "a.raw")
    qemu_img("compare", "-f", "qcow2", "-F", "raw", tmp_path / "again/my_vm-disk2.qcow2", tmp_path / "b.raw")
    assert "exists" in refused("export", ova, disks[0])


@pytest.mark.parametrize("tar_format", ["ustar", "gnu", "pax"])
@pytest.mark.parametrize("word", ["SHA1", "SHA256", "SHA512", None])
def test_appliance_of_others_is_imported(tmp_path, tar_format, word):
    raw = their_disk(tmp_path)
    (tmp_path / "vm.ovf").write_text(descriptor("vm-disk1.vmdk", more='<Disk ovf:diskId="empty" ovf:capacity="1"/>'))
    names = ["vm.ovf", "vm-disk1.vmdk"]
    if word:
        manifest(tmp_path, word, *names)
        names.append("vm.mf")
    ova = pack(tmp_path, *names, tar_format=tar_format)
    for appliance in (ova, tmp_path / "vm.ovf"):
        folder = tmp_path / appliance.suffix
        facts = cella_json("import", appliance, folder)
        assert facts.get("checksums") == (word.lower() if word else None)
        assert (facts["machine"], facts["cpus"], facts["memory"]) == ("theirs", 2, 512 * MIB)
        image = folder / "vm-disk1.qcow2"
        assert [disk["path"] for disk in facts["disks"]] == [str(image)]
        qemu_img("compare", "-f", "qcow2", "-F", "raw", image, raw)
        assert run(CELLA, "image", "check", appliance).returncode == (0 if word else 4)
    cella("compare", ova, raw)
    cella("convert", "-O", "raw", ova, tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == raw.read_bytes()


@pytest.mark.parametrize("name,reference", [("a vm%1.vmdk", "a%20vm%251.vmdk"), ("a%20vm.vmdk", "a%20vm.vmdk")])
def test_names_are_uris_or_meant_as_they_are(tmp_path, name, reference):
    raw = their_disk(tmp_path)
    (tmp_path / "vm-disk1.vmdk").rename(tmp_path / name)
    (tmp_path / "vm.ovf").write_text(descriptor(reference))
    manifest(tmp_path, "SHA256", "vm.ovf", name)
    for appliance in (pack(tmp_path, "vm.ovf", "vm.mf", name), tmp_path / "vm.ovf"):
        cella("check", appliance)
        cella("compare", appliance, raw)
        assert cella_json("import", appliance, tmp_path / appliance.suffix)["disks"][0]["size"] == SIZE


def test_changed_appliance_is_refused(tmp_path):
    their_disk(tmp_path)
    (tmp_path / "vm.ovf").write_text(descriptor("vm-disk1.vmdk"))
    manifest(tmp_path, "SHA256", "vm.ovf", "vm-disk1.vmdk")
    with open(tmp_path / "vm-disk1.vmdk", "r+b") as disk:
        disk.seek(300000)
        disk.write(b"changed")
    ova = pack(tmp_path, "vm.ovf", "vm.mf", "vm-disk1.vmdk")
    assert "not what its checksum" in refused("import", ova, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    assert run(CELLA, "image", "check", ova).returncode == 2
    (tmp_path / "more").write_text("nobody's")
    manifest(tmp_path, "SHA256", "vm.ovf", "vm-disk1.vmdk")
    assert "no checksum" in refused("import", pack(tmp_path, "vm.ovf", "vm.mf", "vm-disk1.vmdk", "more"), tmp_path / "out")
    assert "is missing" in refused("import", pack(tmp_path, "vm.ovf", "vm.mf"), tmp_path / "out")


@pytest.mark.parametrize("options,names", [
    (["--transform=s,vm-disk1,../vm-disk1,"], ["vm-disk1.vmdk"]),
    (["--transform=s,vm-disk1,/tmp/vm-disk1,", "-P"], ["vm-disk1.vmdk"]),
    ([], ["link"]),
    ([], ["folder"]),
])
def test_archive_that_reaches_out_is_refused(tmp_path, options, names):
    their_disk(tmp_path)
    (tmp_path / "vm.ovf").write_text(descriptor("vm-disk1.vmdk"))
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").mkdir()
    ova = pack(tmp_path, "vm.ovf", *names, options=options)
    assert "appliance" in refused("import", ova, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/passwd", "http://127.0.0.1/x"])
def test_descriptor_that_reaches_out_is_refused(tmp_path, name):
    (tmp_path / "vm.ovf").write_text(descriptor(name))
    assert "is no name of a file of an appliance" in refused("import", tmp_path / "vm.ovf", tmp_path / "out")


def test_disk_that_names_other_files_is_refused(tmp_path):
    (tmp_path / "secret.raw").write_bytes(b"secret" * 1000)
    qemu_img("create", "-f", "qcow2", "-b", "secret.raw", "-F", "raw", tmp_path / "disk.qcow2", "1M")
    (tmp_path / "vm.ovf").write_text(descriptor("disk.qcow2"))
    assert "is not in the same archive" in refused("import", pack(tmp_path, "vm.ovf", "disk.qcow2", "secret.raw"), tmp_path / "out")


def test_each_disk_is_an_image(tmp_path):
    raws = [raw_disk(tmp_path / f"{i}.raw", SIZE, i) for i in range(2)]
    cella("export", tmp_path / "vm.ova", *raws)
    for disk, raw in (("1", raws[0]), ("2", raws[1]), ("disk2", raws[1])):
        cella("compare", "--image-options", f"disk={disk}", tmp_path / "vm.ova", raw)
    assert "no disk '3'" in refused("map", "--image-options", "disk=3", tmp_path / "vm.ova")
    assert "only read" in refused("resize", tmp_path / "vm.ova", "20M")
