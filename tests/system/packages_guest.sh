# SPDX-License-Identifier: GPL-2.0-or-later
# Run by root in a Debian that has systemd and never saw Cella: /mnt has the packages, what they depend on, and two kernels.
# test_packages_boot.py reads what it says on the console: "check NAME STATUS", and behind one that failed, its words.
MACHINES=/sys/fs/cgroup/cella.slice/cella-machines.service

# What a command says, as soon as it says it.
await() {
	tries=0
	until [ "$(eval "$2" 2>/dev/null)" = "$1" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 3000 ] || {
			eval "$2"
			return 1
		}
		sleep 0.1
	done
}

state() { cella vm show "$1" --format json | sed -n 's/^ *"state": "\(.*\)",*/\1/p'; }
# Under `set -e` a line that begins with "!" ends nothing.
not() { ! "$@"; }
number() { cella vm show "$1" --format json | sed -n 's/^ *"pid": \([0-9]*\),*/\1/p'; }
group() { echo "$MACHINES/$(cella vm show "$1" --format json | sed -n 's/^ *"uid": "\(.*\)",*/\1/p')"; }
daemon() { systemctl show --property MainPID --value cellad; }
owner() { ps -o user= -p "$1"; }
used() { awk '/^usage_usec/ { print $2 }' "$(group "$1")/cpu.stat"; }
throttled() { awk '/^nr_throttled/ { print $2 }' "$(group "$1")/cpu.stat"; }

installed() {
	dpkg --install /mnt/*.deb
	cella query GET /v1 # it answers as soon as it has started
	[ "$(systemctl is-active cellad cella-machines | uniq)" = active ]
	[ "$(systemctl is-enabled cellad)" = enabled ]
}

runs_as_its_user() {
	[ "$(owner "$(daemon)")" = cella ]
	[ "$(systemctl show --property Slice --value cellad)" = cella.slice ]
}

doctor_is_content() {
	cella doctor
	cella doctor | grep -q '^cgroups  *ok'
	cella query GET /v1/nodes | grep -q '"cgroups": *"v2"'
}

machine_runs_in_its_group() {
	install -m 644 /mnt/*.elf /var/lib/cella/
	cella vm create busy --boot-kernel /var/lib/cella/busy.elf --memory 64M --cpu-max 20 --cpu-shares 300 --start
	cella vm create idle --boot-kernel /var/lib/cella/idle.elf --memory 64M --start
	await running 'state busy'
	await running 'state idle'
	[ "$(cat "$(group busy)/cgroup.procs")" = "$(number busy)" ]
	[ "$(owner "$(number busy)")" = cella ]
}

limits_hold() {
	[ "$(cat "$(group busy)/cpu.weight")" = 300 ]
	[ "$(cat "$(group busy)/memory.max")" = $(((64 + 8 + 512) << 20)) ]
	[ "$(cat "$(group busy)/cpu.max")" = '20000 100000' ]
	# It wants more than it gets, again and again, and gets some. How much in a second is for nobody to say on a busy host.
	before=$(used busy) held=$(throttled busy)
	await yes '[ "$(throttled busy)" -gt '$((held + 10))' ] && echo yes'
	[ "$(used busy)" -gt "$before" ]
}

limits_change_while_it_runs() {
	cella vm edit busy --cpu-max 40
	await '40000 100000' 'cat "$(group busy)/cpu.max"'
}

# Of no use for a machine if it is not reserved for all that it is in.
memory_is_reserved() {
	cella vm edit busy --memory-reserved 48M
	cella vm edit idle --memory-reserved 16M
	await $((64 << 20)) "cat $MACHINES/memory.low"
	[ "$(cat "$(group busy)/memory.low")" = $((48 << 20)) ]
	[ "$(cat /sys/fs/cgroup/cella.slice/memory.low)" = $((64 << 20)) ]
	cella vm edit busy --memory-reserved 0
	await $((16 << 20)) 'cat /sys/fs/cgroup/cella.slice/memory.low'
}

machine_without_memory_ends_alone() {
	daemon=$(daemon) busy=$(number busy) idle=$(number idle)
	echo 1M >"$(group idle)/memory.max"
	await gone 'kill -0 '"$idle"' && echo there || echo gone'
	await running 'state idle' # by its restart policy
	[ "$(number idle)" != "$idle" ]
	[ "$(cat "$(group idle)/memory.max")" = $(((64 + 8 + 512) << 20)) ]
	[ "$(daemon)" = "$daemon" ] && [ "$(number busy)" = "$busy" ]
}

network_of_its_own() {
	cella network create lan --type nat --subnet 10.77.0.0/24
	cella vm create guest --boot-kernel /var/lib/cella/idle.elf --memory 64M --nets network=lan --start
	await running 'state guest'
	await yes 'nft list tables | grep -q "inet cella-" && ip -brief link | grep -q ^ce- && echo yes'
	await cella 'owner "$(pgrep dnsmasq)"'
}

# What machines run as, and that they are watched again: a limit still comes to them.
same_machines() {
	"$@"
	await running 'state busy'
	[ "$(number busy)" = "$busy" ]
	kill -0 "$busy"
	[ "$(cat "$(group busy)/cgroup.procs")" = "$busy" ]
	share=$((share + 1))
	cella vm edit busy --cpu-shares "$share"
	await "$share" 'cat "$(group busy)/cpu.weight"'
}

restart_leaves_machines() {
	busy=$(number busy) share=400 before=$(daemon)
	same_machines systemctl restart cellad
	[ "$(daemon)" != "$before" ]
}

killed_daemon_comes_back() {
	busy=$(number busy) share=500 before=$(daemon)
	kill -KILL "$before"
	await yes '[ "$(daemon)" != 0 ] && [ "$(daemon)" != '"$before"' ] && cella query GET /v1 >/dev/null && echo yes'
	same_machines systemctl is-active cellad
}

upgrade_leaves_machines() {
	busy=$(number busy) share=600 before=$(daemon)
	same_machines dpkg --install /mnt/cella_*.deb /mnt/cellad_*.deb
	[ "$(daemon)" != "$before" ]
}

removal_ends_machines() {
	busy=$(number busy)
	dpkg --remove cellad
	not kill -0 "$busy"
	not pgrep 'cella|dnsmasq'
	[ ! -e /sys/fs/cgroup/cella.slice ]
	not eval "ip -brief link | grep '^c[et]-'"
	not eval 'nft list tables | grep cella'
	[ -e /var/lib/cella/store.db ]
}

purge_leaves_nothing() {
	dpkg --purge cellad cella
	not getent passwd cella
	not getent group cella
	[ ! -e /var/lib/cella ] && [ ! -e /run/cella ] && [ ! -e /etc/default/cellad ]
	[ -z "$(find /etc/systemd /var/lib/systemd /run/systemd /usr/lib/systemd -name 'cella*')" ]
	# Of others: what Debian starts may give up on a slow machine.
	[ -z "$(systemctl --failed --plain --no-legend 'cella*')" ]
}

for name in installed runs_as_its_user doctor_is_content machine_runs_in_its_group limits_hold limits_change_while_it_runs \
	memory_is_reserved machine_without_memory_ends_alone network_of_its_own restart_leaves_machines killed_daemon_comes_back \
	upgrade_leaves_machines removal_ends_machines purge_leaves_nothing; do
	(
		set -ex
		"$name"
	) >/tmp/words 2>&1 </dev/null
	status=$?
	echo "check $name $status"
	[ "$status" = 0 ] || {
		tail -n 40 /tmp/words
		journalctl --no-pager --lines 20 --unit cellad --unit cella-machines
	}
done >/dev/console 2>&1
systemctl poweroff
