# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks and security groups of a real daemon, in network namespaces that the tests make.

The daemon lives in one namespace, which has a neighbour "outside"; guests are namespaces behind taps (relay_vmm.py), so
that they may send what no well-behaved kernel would, and one real machine at the end.

What the kernel of this machine offers decides what can be tested: see test_kernel_follows_connections_of_bridges.
"""
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import warnings

import pytest

import tiny
from machine import initrd, kernel
from node import ROOT, TIMEOUT, Node, UnixConnection
from test_node_vm import VMS, Machines

NETWORKS = "/v1/projects/default/networks"
GROUPS = "/v1/projects/default/security-groups"
HERE = pathlib.Path(__file__).resolve().parent
# A packet that is dropped is waited for in vain; what is to come, comes much sooner on any machine.
LOST_SECONDS = 2

counter = itertools.count()


def run(*words, check=True, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          **options)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


class Space:
    """A network namespace."""

    def __init__(self, name):
        self.name = name
        self.children = []
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        run("ip", "netns", "del", self.name, check=False)

    def words(self, *words):
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, words)]

    def run(self, *words, check=True):
        return run(*self.words(*words), check=check)

    def works(self, *words):
        return subprocess.run(self.words(*words), capture_output=True, timeout=TIMEOUT, check=False).returncode == 0

    def wait(self, *words):
        """Until the command works."""
        deadline = time.monotonic() + TIMEOUT
        while not self.works(*words):
            assert time.monotonic() < deadline, words
            time.sleep(0.05)

    def start(self, *words):
        child = subprocess.Popen(self.words(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def serve(self, port):
        """Answers connections to the port with the name of the namespace."""
        self.start("busybox", "nc", "-ll", "-p", port, "-e", "echo", self.name)
        self.wait("sh", "-c", f"ss -H -lnt sport = {port} | grep -q .")

    def fetch(self, address, port, seconds=TIMEOUT):
        """What answers there."""
        done = subprocess.run(self.words("busybox", "nc", "-w", seconds, address, port), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        return done.stdout.strip()

    def finds_nothing(self, address, port):
        """Whether nothing answers there."""
        return self.fetch(address, port, LOST_SECONDS) == ""

    def pings(self, address, source=None, seconds=TIMEOUT):
        words = ["-I", source] if source else []
        return self.works("busybox", "ping", "-c", 1, "-W", seconds, *words, address)

    def pings_in_vain(self, address, source=None):
        return not self.pings(address, source, LOST_SECONDS)


class Guest(Space):
    """What stands behind a machine's card."""

    def __init__(self, world, name):
        super().__init__(f"{world.prefix}-{name}")
        self.vm_name = name
        self.world = world
        self.address = self.address6 = self.mac = self.tap = None

    def take_lease(self):
        """An address by DHCP, as the guest sees it."""
        self.wait("ip", "link", "show", "eth0", "up")
        words = self.run("busybox", "udhcpc", "-f", "-q", "-n", "-t", TIMEOUT, "-T", "1", "-i", "eth0",
                         "-s", self.world.script)
        lease = dict(line.split("=", 1) for line in words.splitlines() if "=" in line)
        self.address = lease["ip"]
        return lease

    def take_address6(self):
        """The address that the server has for it, set by hand; the router as it announces itself."""
        facts = self.world.node.facts(self.vm_name)
        self.address6 = next(address for address in facts["addresses"] if ":" in address)
        self.run("ip", "addr", "add", f"{self.address6}/64", "dev", "eth0", "nodad")


class World(Machines):
    """The daemon in its namespace, the outside, and guests."""

    def __init__(self, folder, relay=True):
        self.prefix = f"cn{os.getpid()}x{next(counter)}"
        self.spaces = []
        self.host = self.add(Space(f"{self.prefix}-host"))
        self.outside = self.add(Space(f"{self.prefix}-outside"))
        self.join()
        self.script = folder / "lease"
        self.script.write_text(
            "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip addr add $ip/$mask dev $interface\n"
            "[ -z \"$router\" ] || ip route replace default via $router\n"
            "for name in ip mask router dns mtu domain hostname; do eval echo $name=\\$$name; done\n")
        self.script.chmod(0o755)
        libexec = ROOT / "build"
        if relay:
            libexec = folder / "libexec"
            libexec.mkdir()
            (libexec / "cella-vmm").symlink_to(HERE / "relay_vmm.py")
            (libexec / "cella-img").symlink_to(ROOT / "build" / "cella-img")
        super().__init__(folder, "--libexec", libexec, env={"WORLD": self.prefix}, wrapper=self.host.words())
        self.node = self

    def add(self, space):
        self.spaces.append(space)
        return space

    def join(self):
        self.host.run("ip", "link", "add", "up0", "type", "veth", "peer", "eth0", "netns", self.outside.name)
        for space, link, number in ((self.host, "up0", 1), (self.outside, "eth0", 2)):
            space.run("ip", "addr", "add", f"198.51.100.{number}/24", "dev", link)
            space.run("ip", "addr", "add", f"2001:db8:99::{number}/64", "dev", link, "nodad")
            space.run("ip", "link", "set", link, "up")
        self.host.run("ip", "route", "add", "default", "via", "198.51.100.2")
        self.host.run("ip", "-6", "route", "add", "default", "via", "2001:db8:99::2")

    def __enter__(self):
        try:
            return super().__enter__()
        except BaseException:
            self.close_spaces()
            raise

    def close_spaces(self):
        for space in self.spaces:
            space.close()

    def __exit__(self, *arguments):
        try:
            super().__exit__(*arguments)
        finally:
            for file in (self.data / "run").glob("networks/*/pid"):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    os.kill(int(file.read_text().split()[0]), 15)
            self.close_spaces()

    def network(self, name="lan", **spec):
        spec = {"type": "nat", "subnet": "10.99.1.0/24", "subnet6": "fd99::/64", **spec}
        if spec["type"] != "nat":
            del spec["subnet"], spec["subnet6"]
        self.post(NETWORKS, {"name": name, "spec": spec}, status=201)
        return self.network_state(name, "ready")

    def network_state(self, name, state):
        deadline = time.monotonic() + TIMEOUT
        while (status := self.get(f"{NETWORKS}/{name}").json.get("status", {})).get("state") != state:
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status

    def guest(self, name, network="lan", labels=None, **net):
        """A machine that runs, and the namespace in the place of its guest."""
        guest = self.add(Guest(self, name))
        spec = {"boot": {"kernel": "/dev/null"}, "memory": 16 << 20, "running": True, "nets": [{"network": network, **net}]}
        self.post(VMS, {"name": name, "labels": labels or {}, "spec": spec}, status=201)
        guest.wait("ip", "link", "show", "eth0", "up")
        guest.tap = self.facts(name)["interface"]
        guest.mac = self.facts(name)["mac"]
        self.host.wait("sh", "-c", f"ip -o link show {guest.tap} | grep -q LOWER_UP")
        return guest

    def facts(self, name):
        """What the machine has of its first network."""
        deadline = time.monotonic() + TIMEOUT
        while not (nets := self.get(f"{VMS}/{name}").json.get("status", {}).get("nets")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return nets[0]

    def rules(self):
        return self.host.run("nft", "list", "ruleset")

    def group(self, name, labels, *rules):
        self.post(GROUPS, {"name": name, "spec": {"labels": labels, "rules": list(rules)}}, status=201)
        self.wait_rules(lambda rules: True)

    def wait_rules(self, fits):
        """Rules come into force a moment after the change was taken."""
        deadline = time.monotonic() + TIMEOUT
        while not fits(rules := self.rules()):
            assert time.monotonic() < deadline, rules
            time.sleep(0.02)

    def remove(self, name):
        """Stops and deletes a machine."""
        self.patch(f"{VMS}/{name}", {"spec": {"running": False}})
        self.done(self.post(f"{VMS}/{name}/actions/stop", {"force": True}))
        self.done(self.delete(f"{VMS}/{name}"))


@pytest.fixture(name="world")
def fixture_world(tmp_path):
    with World(tmp_path) as world:
        yield world


def test_guests_get_leases_names_and_reach_each_other_and_the_outside(world):
    status = world.network()
    assert status["subnet"] == "10.99.1.0/24" and status["bridge"].startswith("ce-")
    web, db = world.guest("web", address="10.99.1.76"), world.guest("db", address="10.99.1.77")
    lease = web.take_lease()
    assert (lease["mask"], lease["router"], lease["dns"], lease["mtu"]) == ("24", "10.99.1.1", "10.99.1.1", "1500")
    assert (lease["domain"], lease["hostname"]) == ("cella.internal", "web")
    assert db.take_lease()["ip"] == "10.99.1.77"
    assert web.address in world.facts("web")["addresses"]
    assert web.pings(db.address) and db.pings(web.address) and web.pings("10.99.1.1")
    db.serve(80)
    assert web.fetch(db.address, 80) == db.name
    # The outside knows nothing of the subnet: the answer came to the host's address.
    world.outside.serve(80)
    assert web.fetch("198.51.100.2", 80) == world.outside.name
    for name in ("db", "db.cella.internal", "db.default.cella.internal"):
        assert "10.99.1.77" in web.run("busybox", "nslookup", name, "10.99.1.1", check=False)
    assert "db.cella.internal" in web.run("busybox", "nslookup", "10.99.1.77", "10.99.1.1", check=False)
    world.node.patch(f"{NETWORKS}/lan", {"notes": "look again"})
    deadline = time.monotonic() + TIMEOUT
    while len(leases := world.network_state("lan", "ready").get("leases", [])) < 2:
        assert time.monotonic() < deadline, leases
        time.sleep(0.1)
    assert {(item["name"], item["address"], item["mac"]) for item in leases} == {
        ("web", web.address, web.mac), ("db", "10.99.1.77", db.mac)}
    assert all(item["expires"] > "2020" for item in leases)


def test_ipv6_of_guests_is_routed_and_translated(world):
    world.network()
    web, db = world.guest("web"), world.guest("db")
    # Files of this machine's own client are none of the test's business, nor its resolver the client's.
    web.run("unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && mkdir -p /var/lib/dhcpcd &&"
            " mount -t tmpfs none /var/lib/dhcpcd && exec dhcpcd -1 -B -6 -f /dev/null -C resolv.conf -t 60 eth0")
    web.address6 = next(address for address in world.facts("web")["addresses"] if ":" in address)
    assert f"inet6 {web.address6}/128" in web.run("ip", "-6", "addr", "show", "dev", "eth0")
    db.take_address6()
    for guest in (web, db):
        # The router announces itself: no address by hand, and none that the guest makes up.
        guest.wait("sh", "-c", "ip -6 route show default | grep -q 'via fe80::1 dev eth0'")
        assert guest.run("ip", "-6", "addr", "show", "dev", "eth0", "scope", "global").count("inet6") == 1
    assert web.pings(db.address6) and web.pings("fd99::1")
    world.outside.serve(80)
    assert web.fetch("2001:db8:99::2", 80) == world.outside.name
    assert db.address6 in web.run("busybox", "nslookup", "db.cella.internal", "fd99::1", check=False)


def test_port_forwards_lead_in_from_everywhere(world):
    world.network(forwards=[{"port": 2222, "to": "10.99.1.77", "to-port": 22}])
    web = world.guest("web", address="10.99.1.77", forwards=["8080-80", "tcp:198.51.100.1:8443-443"])
    other = world.guest("other")
    for guest in (web, other):
        guest.take_lease()
    for port in (22, 80, 443):
        web.serve(port)
    for port in (2222, 8080, 8443):
        assert world.outside.fetch("198.51.100.1", port) == web.name
        assert world.host.fetch("198.51.100.1", port) == web.name
        assert other.fetch("198.51.100.1", port) == web.name
    assert world.host.fetch("127.0.0.1", 8080) == web.name
    # Without a forward nobody from outside comes in, even with a route.
    world.outside.run("ip", "route", "add", "10.99.1.0/24", "via", "198.51.100.1")
    assert world.outside.finds_nothing("10.99.1.77", 80)
    # A forward that is taken out of the machine's spec is gone.
    world.patch(f"{VMS}/web", {"spec": {"nets": [{"network": "lan", "address": "10.99.1.77", "forwards": []}]}})
    world.wait_rules(lambda rules: "dport 8080" not in rules)
    assert world.outside.finds_nothing("198.51.100.1", 8080)
    assert world.outside.fetch("198.51.100.1", 2222) == web.name


def test_guests_reach_no_service_of_the_host_but_its_own(world):
    world.network()
    web = world.guest("web")
    web.take_lease()
    world.host.serve(9000)
    assert world.outside.fetch("198.51.100.1", 9000) == world.host.name
    for address in ("10.99.1.1", "198.51.100.1"):
        assert web.finds_nothing(address, 9000)
    # The host's loopback addresses are not behind the bridge.
    web.run("ip", "route", "add", "127.9.9.9/32", "via", "10.99.1.1", check=False)
    assert web.finds_nothing("127.9.9.9", 9000)


def test_isolated_guests_reach_only_the_outside(world):
    world.network(isolated=True)
    one, two = world.guest("one"), world.guest("two", forwards=["8080-80"])
    for guest in (one, two):
        guest.take_lease()
        guest.serve(80)
    world.outside.serve(80)
    assert one.pings_in_vain(two.address) and one.finds_nothing(two.address, 80)
    # Nor by way of the host.
    one.run("ip", "route", "add", f"{two.address}/32", "via", "10.99.1.1")
    assert one.finds_nothing(two.address, 80)
    assert one.fetch("198.51.100.2", 80) == world.outside.name
    assert world.outside.fetch("198.51.100.1", 8080) == two.name
    # While they run, it can be taken back.
    world.patch(f"{NETWORKS}/lan", {"spec": {"isolated": False}})
    one.run("ip", "route", "del", f"{two.address}/32")
    one.wait("busybox", "ping", "-c", "1", "-W", "1", two.address)


def test_closed_network_has_no_way_out(world):
    world.network(nat=False)
    one, two = world.guest("one"), world.guest("two", forwards=["8080-80"])
    assert one.take_lease()["router"] == ""
    two.take_lease()
    two.serve(80)
    world.outside.serve(80)
    assert one.fetch(two.address, 80) == two.name
    one.run("ip", "route", "add", "default", "via", "10.99.1.1")
    assert one.finds_nothing("198.51.100.2", 80)


def test_two_networks_are_apart(world):
    world.network("one")
    world.network("two", subnet="10.99.2.0/24", subnet6="fd99:2::/64")
    web, db = world.guest("web", "one"), world.guest("db", "two")
    for guest in (web, db):
        guest.take_lease()
        guest.serve(80)
    assert web.finds_nothing("10.99.2.1", 80) and web.pings_in_vain(db.address)
    assert web.finds_nothing(db.address, 80)


def test_kernel_follows_connections_of_bridges(world):
    """Security groups between machines of one bridge need this; a kernel without either is told of in status."""
    own = world.host.works("sh", "-c", "echo 'table bridge t { chain c { ct state new accept\n}\n}' | nft -c -f -")
    netfilter = pathlib.Path("/proc/sys/net/bridge").exists()
    if not own:
        warnings.warn("this kernel has no nf_conntrack_bridge: rules that use it are compared as text alone "
                      "(tests/unit/node/network/plan_test.c), and br_netfilter's are tested here")
    if not netfilter:
        warnings.warn("this kernel has no br_netfilter: rules that use it are compared as text alone")
    assert own or netfilter, "security groups cannot be tested on this kernel"
    world.network()
    world.group("web", {}, {"protocol": "tcp", "ports": "80"})
    deadline = time.monotonic() + TIMEOUT
    while "vms" not in (status := world.get(f"{GROUPS}/web").json.get("status") or {}):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not status.get("problem")


def test_security_groups_hold_by_label(world):
    world.network()
    web = world.guest("web", labels={"tier": "web"})
    db = world.guest("db", labels={"tier": "db"}, forwards=["5432-5432"])
    other = world.guest("other")
    for guest in (web, db, other):
        guest.take_lease()
        guest.take_address6()
    for port in (22, 5432):
        db.serve(port)
        web.serve(port)
    assert other.fetch(db.address, 5432) == db.name
    world.group("db", {"tier": "db"}, {"protocol": "tcp", "ports": "5432", "remote-labels": {"tier": "web"}})
    world.wait_rules(lambda rules: "jump group-0-in" in rules)
    for address in (db.address, db.address6):
        assert web.fetch(address, 5432) == db.name
        assert web.finds_nothing(address, 22)
        assert other.finds_nothing(address, 5432) and other.pings_in_vain(address)
    # A forward opens no group.
    assert world.outside.finds_nothing("198.51.100.1", 5432)
    # What it begins itself is answered, inside and outside; nobody else is restricted.
    world.outside.serve(80)
    assert db.fetch(web.address, 22) == web.name and db.fetch("198.51.100.2", 80) == world.outside.name
    assert other.fetch(web.address, 22) == web.name
    # Labels count at once.
    world.patch(f"{VMS}/other", {"labels": {"tier": "web"}})
    world.wait_rules(lambda rules: other.mac in rules.split("set remote-0-0")[1].split("}")[0])
    assert other.fetch(db.address, 5432) == db.name
    # A second group adds to the first.
    world.group("any", {"tier": "db"}, {"protocol": "icmp"}, {"protocol": "tcp", "remote": "198.51.100.0/24"})
    world.wait_rules(lambda rules: "jump group-1-in" in rules or "198.51.100.0/24 meta" in rules)
    assert other.pings(db.address) and world.outside.fetch("198.51.100.1", 5432) == db.name
    assert other.finds_nothing(db.address, 22)
    # Without groups it is as before.
    for name in ("db", "any"):
        world.done(world.delete(f"{GROUPS}/{name}"))
    world.wait_rules(lambda rules: "group-" not in rules)
    assert other.fetch(db.address, 22) == db.name


def test_security_groups_restrict_what_goes_out(world):
    world.network()
    one, two = world.guest("one", labels={"quiet": "yes"}), world.guest("two")
    for guest in (one, two):
        guest.take_lease()
        guest.serve(80)
    world.outside.serve(80)
    world.outside.serve(443)
    world.group("quiet", {"quiet": "yes"}, {"direction": "out", "protocol": "tcp", "ports": "443"})
    world.wait_rules(lambda rules: "jump group-0-out" in rules)
    assert one.fetch("198.51.100.2", 443) == world.outside.name
    assert one.finds_nothing("198.51.100.2", 80) and one.finds_nothing(two.address, 80) and one.pings_in_vain(two.address)
    # Answers go out, names are found, and leases are renewed.
    assert two.fetch(one.address, 80) == one.name
    assert two.address in one.run("busybox", "nslookup", "two", "10.99.1.1", check=False)
    one.run("ip", "addr", "flush", "dev", "eth0")
    assert one.take_lease()["ip"] == one.address


def neighbours(space):
    return space.run("ip", "neigh").splitlines()


def test_spoofed_frames_are_dropped(world):
    world.network()
    # Addresses of their own: one that the daemon chooses may be the one that is nobody's here.
    thief, victim = world.guest("thief", address="10.99.1.10"), world.guest("victim", address="10.99.1.11")
    for guest in (thief, victim):
        guest.take_lease()
        guest.take_address6()
    assert thief.pings(victim.address) and thief.pings(victim.address6) and victim.pings("10.99.1.1")
    # Addresses of others and of nobody, of both versions, to a neighbour and to the router.
    for address, target in ((victim.address, "10.99.1.1"), ("10.99.1.200", victim.address), ("10.99.1.1", victim.address)):
        thief.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
        assert thief.pings_in_vain(target, address)
        thief.run("ip", "addr", "del", f"{address}/32", "dev", "eth0")
    thief.run("ip", "-6", "addr", "add", "fd99::bad/128", "dev", "eth0", "nodad")
    assert thief.pings_in_vain(victim.address6, "fd99::bad")
    # ARP and neighbour advertisements in the name of another.
    thief.run("busybox", "arping", "-A", "-c", "2", "-I", "eth0", "-s", "10.99.1.1", "10.99.1.1", check=False)
    thief.run("ip", "-6", "addr", "add", f"{victim.address6}/128", "dev", "eth0", "nodad")
    victim.run("ip", "neigh", "flush", "all")
    assert victim.pings("10.99.1.1") and victim.pings("fd99::1")
    for space, addresses in ((victim, ("10.99.1.1", "fd99::1")), (world.host, (victim.address, victim.address6))):
        assert not [line for line in neighbours(space) if thief.mac in line and line.split()[0] in addresses]
    # Another hardware address.
    thief.run("ip", "link", "set", "eth0", "address", "5e:00:00:00:00:99")
    assert thief.pings_in_vain("10.99.1.1") and thief.pings_in_vain(victim.address)
    thief.run("ip", "link", "set", "eth0", "address", thief.mac)
    thief.wait("busybox", "ping", "-c", "1", "-W", "1", "10.99.1.1")


def test_a_guest_is_no_server_of_addresses_and_no_router(world):
    world.network()
    thief, victim = world.guest("thief"), world.guest("victim")
    thief.take_lease()
    config = world.folder / "udhcpd.conf"
    config.write_text(f"start 10.99.1.100\nend 10.99.1.110\ninterface eth0\npidfile {world.folder}/udhcpd.pid\n"
                      f"lease_file {world.folder}/udhcpd.leases\nopt router {thief.address}\n")
    thief.start("busybox", "udhcpd", "-f", config)
    thief.start("python3", HERE / "router_advert.py", "eth0", thief.mac)
    assert victim.take_lease()["router"] == "10.99.1.1"
    victim.wait("sh", "-c", "ip -6 route show default | grep -q 'via fe80::1 dev eth0'")
    time.sleep(LOST_SECONDS)
    assert victim.run("ip", "-6", "route", "show", "default").count("default") == 1


def test_trusted_machine_may_send_as_anybody(world):
    world.network()
    router = world.guest("router", spoofing=True, address="10.99.1.10")
    other = world.guest("other", address="10.99.1.11")
    for guest in (router, other):
        guest.take_lease()
    router.run("ip", "addr", "add", "10.99.1.200/24", "dev", "eth0")
    assert router.pings(other.address, "10.99.1.200")
    router.start("python3", HERE / "router_advert.py", "eth0", router.mac)
    other.wait("sh", "-c", "[ $(ip -6 route show default | grep -c 'via fe80') = 2 ]")


def test_bridge_of_the_host_is_used_and_left_alone(world):
    lan = world.add(Space(f"{world.prefix}-lan"))
    world.host.run("ip", "link", "add", "br0", "type", "bridge")
    world.host.run("ip", "link", "add", "port0", "mtu", "1400", "type", "veth", "peer", "eth0", "netns", lan.name)
    world.host.run("ip", "link", "set", "port0", "master", "br0", "up")
    world.host.run("ip", "link", "set", "br0", "mtu", "1400", "up")
    lan.run("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
    lan.run("ip", "link", "set", "eth0", "up")

    def bridge():
        return [world.host.run(*words).replace(" tentative", "") for words in (("ip", "addr", "show", "br0"), ("bridge", "-d", "link", "show"))]

    # The kernel sets states and addresses of links a moment later: a second, if other links of the host change.
    world.host.wait("sh", "-c", "ip link show br0 | grep -q 'state UP' && ip -6 addr show dev br0 scope link | grep -q inet6")
    before = bridge()
    world.network("office", type="bridge", bridge="br0")
    web = world.guest("web", "office", address="192.0.2.5", labels={"tier": "web"})
    free = world.guest("free", "office")
    for guest, address in ((web, "192.0.2.5"), (free, "192.0.2.6")):
        guest.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        guest.serve(80)
        guest.serve(22)
    assert "mtu 1400" in world.host.run("ip", "link", "show", web.tap)
    assert web.pings("192.0.2.1") and free.pings("192.0.2.1") and web.pings("192.0.2.6")
    world.group("web", {"tier": "web"}, {"protocol": "tcp", "ports": "80"})
    world.wait_rules(lambda rules: "jump group-0-in" in rules)
    assert lan.fetch("192.0.2.5", 80) == web.name and lan.finds_nothing("192.0.2.5", 22)
    assert free.fetch("192.0.2.5", 80) == web.name and free.finds_nothing("192.0.2.5", 22)
    assert lan.fetch("192.0.2.6", 22) == free.name
    # One of which the address is known is held to it; another's that is known is taken by nobody.
    web.run("ip", "addr", "add", "192.0.2.9/32", "dev", "eth0")
    assert web.pings_in_vain("192.0.2.1", "192.0.2.9")
    web.run("ip", "addr", "del", "192.0.2.5/24", "dev", "eth0")
    free.run("ip", "addr", "add", "192.0.2.5/24", "dev", "eth0")
    assert free.pings_in_vain("192.0.2.1", "192.0.2.5")
    for name in ("web", "free"):
        world.remove(name)
    world.done(world.delete(f"{NETWORKS}/office"))
    assert before == bridge()


def test_missing_bridge_is_told_and_found_when_it_comes(world):
    world.post(NETWORKS, {"name": "office", "spec": {"type": "bridge", "bridge": "br7"}}, status=201)
    status = world.network_state("office", "failed")
    deadline = time.monotonic() + TIMEOUT
    while "ip link add br7" not in (world.get(f"{NETWORKS}/office")["status"].get("problem") or ""):
        assert time.monotonic() < deadline, status
        time.sleep(0.02)
    world.host.run("ip", "link", "add", "br7", "type", "bridge")
    world.network_state("office", "ready")


FOREIGN = """
table inet firewall {
	chain input { type filter hook input priority 0; policy accept;
		tcp dport 2049 drop
	}
}
table bridge other {
	chain c { type filter hook forward priority 0; policy accept;
		ether type 0x88cc drop
	}
}
"""


def test_teardown_leaves_the_host_as_it_was(world):
    subprocess.run(world.host.words("nft", "-f", "-"), input=FOREIGN, text=True, check=True, timeout=TIMEOUT)
    rules, links = world.rules(), world.host.run("ip", "-o", "link")
    world.network()
    world.guest("web", forwards=["8080-80"]).take_lease()
    world.group("web", {}, {"protocol": "tcp", "ports": "80"})
    assert rules != world.rules() and "table inet firewall" in world.rules()
    assert world.delete(f"{NETWORKS}/lan").error == "in-use"
    world.remove("web")
    world.done(world.delete(f"{GROUPS}/web"))
    world.done(world.delete(f"{NETWORKS}/lan"))
    assert world.rules() == rules
    assert world.host.run("ip", "-o", "link") == links
    assert not list((world.data / "run" / "networks").iterdir())


def test_firewall_of_others_is_told_until_it_lets_bridges_pass(world):
    def warning(words):
        deadline = time.monotonic() + TIMEOUT
        while words not in (status := world.get(f"{NETWORKS}/lan").json["status"].get("warning") or ""):
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
            world.patch(f"{NETWORKS}/lan", {"notes": f"look again at {time.monotonic()}"})

    assert not world.network().get("warning")
    world.host.run("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    warning("'ip filter FORWARD'")
    web = world.guest("web")
    web.take_lease()
    world.outside.serve(80)
    assert web.finds_nothing("198.51.100.2", 80)
    world.host.run("nft", 'add rule ip filter FORWARD iifname "ce-*" accept; add rule ip filter FORWARD oifname "ce-*" accept')
    deadline = time.monotonic() + TIMEOUT
    while world.get(f"{NETWORKS}/lan").json["status"].get("warning"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        world.patch(f"{NETWORKS}/lan", {"notes": f"look again at {time.monotonic()}"})
    assert web.fetch("198.51.100.2", 80) == world.outside.name


def test_killed_daemon_disturbs_nobody_and_finds_all_again(world):
    world.network()
    web, db = world.guest("web", labels={"tier": "web"}), world.guest("db", forwards=["8080-80"])
    for guest in (web, db):
        guest.take_lease()
        guest.serve(80)
        guest.serve(22)
    world.group("web", {"tier": "web"}, {"protocol": "tcp", "ports": "80"})
    world.wait_rules(lambda rules: "jump group-0-in" in rules)
    servers = run("pgrep", "-f", f"{world.data}/run/networks/.*/dnsmasq[.]conf")
    rules = world.rules()
    world.kill()

    def all_is_well():
        assert db.fetch(web.address, 80) == web.name and db.finds_nothing(web.address, 22)
        assert world.outside.fetch("198.51.100.1", 8080) == db.name
        assert web.address in db.run("busybox", "nslookup", "web", "10.99.1.1", check=False)

    all_is_well()
    # What is another daemon's stays.
    world.host.run("ip", "link", "add", "ce-00000000", "type", "bridge")
    world.start()
    world.network_state("lan", "ready")
    all_is_well()
    assert world.rules() == rules
    assert run("pgrep", "-f", f"{world.data}/run/networks/.*/dnsmasq[.]conf") == servers
    assert "ce-00000000" in world.host.run("ip", "-o", "link")
    # Rules that somebody flushed, and a server that died, come back.
    world.host.run("nft", "flush", "ruleset")
    os.kill(int(servers), 9)
    world.patch(f"{NETWORKS}/lan", {"notes": "again"})
    world.wait_rules(lambda now: "jump group-0-in" in now)
    deadline = time.monotonic() + TIMEOUT
    while web.address not in db.run("busybox", "nslookup", "web", "10.99.1.1", check=False):
        assert time.monotonic() < deadline
    all_is_well()
    world.done(world.delete(f"{GROUPS}/web"))
    for name in ("web", "db"):
        world.remove(name)
    world.done(world.delete(f"{NETWORKS}/lan"))
    assert "cella" not in world.rules()


def test_without_rights_user_networks_work_and_others_say_why(tmp_path):
    drop = [shutil.which("setpriv"), "--bounding-set=-net_admin", "--inh-caps=-all", "--ambient-caps=-all"]
    with Node(tmp_path, wrapper=[*drop, "--no-new-privs"]) as node:
        node.post(NETWORKS, {"name": "lan", "spec": {"type": "nat"}}, status=201)
        deadline = time.monotonic() + TIMEOUT
        while "CAP_NET_ADMIN" not in ((status := node.get(f"{NETWORKS}/lan").json.get("status") or {}).get("problem") or ""):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        assert status["state"] == "failed" and "type user" in status["problem"]
        assert node.get(f"{NETWORKS}/default")["spec"]["type"] == "user"


def threads_with_rights(pid):
    """The names of threads that are permitted any capability."""
    texts = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends while this looks
            texts.append((task / "status").read_text())
    return {re.search(r"Name:\s+(\w+)", text)[1] for text in texts if int(re.search(r"CapPrm:\s+(\w+)", text)[1], 16)}


def test_three_capabilities_suffice(tmp_path):
    """As another user would have them: root's own rights are switched off."""
    sets = "net_admin,net_raw,net_bind_service".replace("net", "+net")
    with World(tmp_path, relay=False) as world:
        world.stop()
        world.wrapper = [*world.host.words(), shutil.which("setpriv"), "--securebits=+noroot,+noroot_locked",
                         *(f"--{kind}=-all,{sets}" for kind in ("inh-caps", "ambient-caps"))]
        world.start()
        status = pathlib.Path(f"/proc/{world.process.pid}/status").read_text()
        assert int(re.search(r"CapEff:\s+(\w+)", status)[1], 16) == 1 << 10 | 1 << 12 | 1 << 13
        # None of the threads but the first and the one of networks has any, as soon as they run.
        deadline = time.monotonic() + TIMEOUT
        while threads_with_rights(world.process.pid) != {"cellad", "networks"}:
            assert time.monotonic() < deadline, threads_with_rights(world.process.pid)
            time.sleep(0.01)
        world.network()
        world.create("web", tiny.HALT, nets=[{"network": "lan"}], running=True)
        world.wait_state("web", "running")
        tap = world.facts("web")["interface"]
        assert f"{tap}: " in world.host.run("ip", "-o", "link", "show", "type", "tun")
        assert f'"{tap}" : jump spoof-' in world.rules()
        # Limits change while it runs; another network needs a guest that lets go of its card.
        world.patch(f"{VMS}/web", {"spec": {"nets": [{"network": "lan", "receive-max": 1 << 20}]}})
        socket = UnixConnection(world.data / "run" / world.get(f"{VMS}/web")["uid"] / "control")
        socket.connect()
        deadline = time.monotonic() + TIMEOUT
        while True:
            socket.sock.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "net.limits", "params": {"id": "net0"}}\n')
            limits = json.loads(socket.sock.makefile().readline())
            if limits.get("result", {}).get("receive-max") == 1 << 20:
                break
            assert time.monotonic() < deadline, limits
            time.sleep(0.05)
        socket.sock.close()
        assert not world.status("web").get("pending")
        world.patch(f"{VMS}/web", {"spec": {"nets": [{"network": "default"}]}})
        world.wait("web", lambda status: status.get("pending") == ["nets"])
        assert f'"{tap}" : jump spoof-' in world.rules() and world.delete(f"{NETWORKS}/lan").error == "in-use"
        server = int(run("pgrep", "-f", f"{world.data}/run/networks/.*/dnsmasq[.]conf"))
        bounds = re.search(r"CapEff:\s+(\w+)", pathlib.Path(f"/proc/{server}/status").read_text())[1]
        assert int(bounds, 16) & ~(1 << 10 | 1 << 12 | 1 << 13) == 0
        world.remove("web")


@pytest.mark.parametrize("spec,field,words", [
    ({"type": "nat", "subnet": "10.99.1.1/24"}, "spec.subnet", "bits behind"),
    ({"type": "bridge"}, "spec.bridge", "needs one"),
    ({"type": "user", "forwards": [{"port": 80, "to": "10.0.2.15"}]}, "spec.forwards", "type nat"),
    ({"type": "nat", "domain": "a\nb"}, "spec.domain", "no domain"),
])
def test_wrong_networks_are_refused_with_the_field(tmp_path, spec, field, words):
    with Node(tmp_path) as node:
        answer = node.post(NETWORKS, {"name": "wrong", "spec": spec}, status=400)
        assert answer["error"]["field"] == field and words in answer["error"]["message"]


def test_cards_of_a_real_machine_come_move_and_go(tmp_path):
    """A stock kernel: a second card, the first one on another network, then on a user network with forwards."""
    lease = "udhcpc -q -n -t 30 -i $1 -s /bin/true 2>&1; ip addr add $2/24 dev $1"
    command = (f"here() {{ while [ ! -e /sys/class/net/$1 ]; do sleep 0.05; done; ip link set $1 up; {lease}; }};"
               " gone() { while [ -e /sys/class/net/$1 ]; do sleep 0.05; done; };"
               " here eth0 10.99.1.77; echo one; here eth1 10.99.2.78; ping -c 2 10.99.2.1; echo two; gone eth1; echo three;"
               " gone eth0; here eth0 10.99.2.77; ping -c 2 10.99.2.1; echo four; gone eth0; here eth0 10.0.2.15;"
               " for i in 1 2 3; do nc -l -p 80 -e echo answer$i; done; ip route add default via 10.0.2.2;"
               " until nc -w 3 198.51.100.2 80 | grep .; do sleep 0.2; done;"
               " while nc -w 3 198.51.100.2 80 | grep .; do sleep 0.2; done; echo five;"
               " until nc -w 3 198.51.100.2 80 | grep .; do sleep 0.2; done; echo six")
    with World(tmp_path, relay=False) as world:
        world.network("lan")
        world.network("other", subnet="10.99.2.0/24", subnet6="fd99:2::/64")
        first = {"network": "lan", "address": "10.99.1.77"}
        second = {"network": "other", "address": "10.99.2.78", "transmit-max": 1 << 20}
        spec = {"memory": 512 << 20, "engine": "soft", "running": True, "restart": "never", "nets": [first],
                "boot": {"kernel": kernel(), "initrd": initrd(), "append": f'console=ttyS0 quiet panic=-1 guest.run="{command}"'}}
        world.post(VMS, {"name": "guest", "spec": spec}, status=201)

        def said(text):
            deadline = time.monotonic() + TIMEOUT
            while text.encode() + b"\r" not in world.log_of("guest"):
                assert time.monotonic() < deadline, (world.log_of("guest").decode(errors="replace"), world.status("guest"))
                time.sleep(0.1)

        def change(*nets):
            world.patch(f"{VMS}/guest", {"spec": {"nets": list(nets)}})

        def settled(count):
            """Nothing waits, and the host has that many taps, each with its rules."""
            world.wait("guest", lambda status: not status.get("pending") and not status.get("problem"))
            world.wait_rules(lambda rules: rules.count(": jump spoof-") == count)
            assert world.host.run("ip", "-o", "link", "show", "type", "tun").count("ct-") == count

        said("one")
        change(first, second)
        said("two")
        settled(2)
        assert [net["network"] for net in world.status("guest")["nets"]] == ["lan", "other"]
        # As an event, since a look at it may come too late.
        with world.events(kind="vm", name="guest") as events:
            change(first)
            events.until(lambda event: event["object"]["status"].get("pending") == ["nets"])
        said("three")
        settled(1)
        # The same number on another network: the tap is another one, the hardware address the same.
        mac = world.facts("guest")["mac"]
        change({"network": "other", "address": "10.99.2.77"})
        said("four")
        settled(1)
        assert world.facts("guest")["mac"] == mac and "10.99.2.77" in world.facts("guest")["addresses"]
        world.done(world.delete(f"{NETWORKS}/lan"))
        change({"network": "default", "forwards": ["8001-80"]})

        def answers(port, text):
            deadline = time.monotonic() + TIMEOUT
            while world.host.fetch("127.0.0.1", port) != text:
                assert time.monotonic() < deadline, (text, world.status("guest"))
                time.sleep(0.1)

        answers(8001, "answer1")
        settled(0)
        # Forwards of a user network change in place.
        change({"network": "default", "forwards": ["8002-80"]})
        answers(8002, "answer2")
        assert world.host.finds_nothing("127.0.0.1", 8001)
        # A forward opens no group. What a group says counts at once.
        world.group("closed", {}, {"protocol": "tcp", "ports": "22"})
        applied = world.data / "run" / world.get(f"{VMS}/guest")["uid"] / "applied.json"
        deadline = time.monotonic() + TIMEOUT
        while '"restrict":["in"]' not in applied.read_text():
            assert time.monotonic() < deadline, applied.read_text()
            time.sleep(0.05)
        assert world.host.finds_nothing("127.0.0.1", 8002)
        world.patch(f"{GROUPS}/closed", {"spec": {"rules": [{"protocol": "tcp", "ports": "80"}]}})
        answers(8002, "answer3")
        world.outside.serve(80)
        said(world.outside.name)
        world.patch(f"{GROUPS}/closed", {"spec": {"rules": [{"direction": "out", "protocol": "udp"}]}})
        said("five")
        world.done(world.delete(f"{GROUPS}/closed"))
        said("six")
        world.wait("guest", lambda status: status.get("state") == "stopped")
        text = world.log_of("guest").decode(errors="replace")
        for address in ("10.99.1.77", "10.99.2.78", "10.99.2.77", "10.0.2.15"):
            assert f"lease of {address} obtained" in text, text
        assert text.count(" 0% packet loss") == 2, text


def test_real_machine_takes_its_lease_and_is_held_to_limits(tmp_path):
    """A stock kernel on the software engine, through the tap that the daemon handed to its process."""
    command = ("ip link set eth0 up; udhcpc -q -n -t 30 -i eth0 -s /bin/true 2>&1; ip addr add 10.99.1.77/24 dev eth0;"
               " ping -c 3 10.99.1.1; nslookup guest.cella.internal 10.99.1.1;"
               " ip addr add 10.99.1.99/24 dev eth0; ping -c 1 -W 2 -I 10.99.1.99 10.99.1.1 && echo SPOOFED")
    with World(tmp_path, relay=False) as world:
        world.network()
        spec = {"memory": 512 << 20, "engine": "soft", "running": True, "restart": "never",
                "boot": {"kernel": kernel(), "initrd": initrd(),
                         "append": f'console=ttyS0 quiet panic=-1 guest.run="{command}"'},
                "nets": [{"network": "lan", "address": "10.99.1.77", "receive-max": 1 << 20, "transmit-max": 1 << 20}]}
        world.post(VMS, {"name": "guest", "spec": spec}, status=201)
        world.wait("guest", lambda status: status.get("state") in ("stopped", "failed"))
        text = world.log_of("guest").decode(errors="replace")
        assert "lease of 10.99.1.77 obtained" in text, text
        assert "3 packets received" in text and "SPOOFED" not in text, text
        assert re.search(r"guest\.cella\.internal\s+Address[^\n]*10\.99\.1\.77", text), text
        deadline = time.monotonic() + TIMEOUT
        while "ct-" in world.host.run("ip", "-o", "link") or "jump spoof-" in world.rules():
            assert time.monotonic() < deadline
            time.sleep(0.05)
