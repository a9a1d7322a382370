/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values as people read and write them: bytes with IEC units, times, durations, rates. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

function short(value: number): string {
	if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
	return value >= 10 ? value.toFixed(1).replace(/\.0$/, '') : value.toFixed(2).replace(/\.?0+$/, '');
}

/** 1610612736 as "1.5 GiB". */
export function bytes(value: number | null | undefined): string {
	if (value === null || value === undefined || !Number.isFinite(value)) return '–';
	let unit = 0;
	while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${short(value)} ${UNITS[unit]}`;
}

/** The same without loss, for a field that is edited: 1073741824 as "1 GiB", 1000 as "1000". */
export function exactBytes(value: number): string {
	let unit = 0;
	while (value >= 1024 && value % 1024 === 0 && unit < UNITS.length - 1) {
		value /= 1024;
		unit++;
	}
	return unit ? `${value} ${UNITS[unit]}` : String(value);
}

/** "1.5G", "512 MiB", "4096" to bytes; null: it is no size. */
export function parseBytes(text: string): number | null {
	const found = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(text);
	if (!found) return null;
	const power = found[2] ? 'kmgtp'.indexOf(found[2].toLowerCase()) + 1 : 0;
	const value = Number(found[1]!.replace(',', '.')) * 1024 ** power;
	return Number.isSafeInteger(Math.round(value)) ? Math.round(value) : null;
}

export function rate(bytesPerSecond: number): string {
	return `${bytes(bytesPerSecond)}/s`;
}

export function percent(ratio: number | null | undefined): string {
	if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return '–';
	const value = ratio * 100;
	return `${value >= 10 || value < 0.05 ? Math.round(value) : value.toFixed(1)} %`;
}

export function count(value: number, one: string, many = `${one}s`): string {
	return `${value} ${value === 1 ? one : many}`;
}

/** A span of seconds in its two largest units: "3 d 4 h". */
export function span(seconds: number): string {
	const steps: [number, string][] = [
		[86400, 'd'],
		[3600, 'h'],
		[60, 'min'],
		[1, 's'],
	];
	seconds = Math.max(0, Math.floor(seconds));
	for (let i = 0; i < steps.length; i++) {
		const [length, unit] = steps[i]!;
		if (seconds < length && length > 1) continue;
		const first = Math.floor(seconds / length);
		const next = steps[i + 1];
		const rest = next ? Math.floor((seconds % length) / next[0]) : 0;
		return rest && next && first < 10 ? `${first} ${unit} ${rest} ${next[1]}` : `${first} ${unit}`;
	}
	return '0 s';
}

/** "5 min ago", "just now". */
export function ago(when: string | number | null | undefined): string {
	if (!when) return '–';
	const seconds = (Date.now() - new Date(when).getTime()) / 1000;
	if (!Number.isFinite(seconds)) return '–';
	if (seconds < -5) return `in ${span(-seconds)}`;
	return seconds < 5 ? 'just now' : `${span(seconds).replace(/^(\d+ \S+).*/, '$1')} ago`;
}

/** The full local time, for a title. */
export function time(when: string | number | null | undefined): string {
	if (!when) return '';
	const date = new Date(when);
	return Number.isNaN(date.getTime()) ? String(when) : date.toLocaleString();
}

/** The time of day, with the date where the span is longer than one. */
export function clock(when: number, length: number): string {
	const day: Intl.DateTimeFormatOptions = length > 86400000 ? { month: 'short', day: 'numeric' } : {};
	return new Date(when).toLocaleString([], { ...day, hour: '2-digit', minute: '2-digit' });
}

/** "security-group" and "memory_size" as "Security group" and "Memory size". */
export function words(name: string): string {
	const text = name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[-_]+/g, ' ').toLowerCase();
	const known: Record<string, string> = {
		cpu: 'CPU', cpus: 'CPUs', vm: 'VM', vms: 'VMs', mac: 'MAC', ip: 'IP', ipv4: 'IPv4', ipv6: 'IPv6', dns: 'DNS',
		dhcp: 'DHCP', nat: 'NAT', id: 'ID', uid: 'UID', url: 'URL', ssh: 'SSH', sha256: 'SHA-256', tls: 'TLS', nic: 'NIC',
		iops: 'IOPS', numa: 'NUMA', mtu: 'MTU', acpi: 'ACPI', cidr: 'CIDR', vlan: 'VLAN', os: 'OS', api: 'API', tcp: 'TCP',
		address6: 'IPv6 address', subnet6: 'IPv6 subnet', nets: 'network cards', nics: 'NICs', bps: 'bandwidth', pid: 'PID', ram: 'RAM', kvm: 'KVM', udp: 'UDP', macs: 'MACs',
	};
	return sentence(text.split(' ').map((word) => known[word] ?? word).join(' '));
}

/** "it runs" as "It runs": the server's words begin in lower case. */
export function sentence(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "Images" as "images" inside of a sentence, but "VMs". */
export function lower(text: string): string {
	return text.replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase());
}

/** Some names, and how many there are besides: "web1, web2 and 4 more". */
export function some(names: string[], most = 12): string {
	return names.length > most ? `${names.slice(0, most).join(', ')} and ${names.length - most} more` : names.join(', ');
}
