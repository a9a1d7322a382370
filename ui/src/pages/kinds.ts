/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the console knows of kinds beyond their schema: words for empty lists, which fields come first, which are columns. */

export interface KindWords {
	icon: string;
	one: string;
	many: string;
	empty: string;
	first?: string[]; // fields of the spec that a new one shows at once
	columns?: Record<string, string>; // of lists, by path, besides those that the server names: shown when asked for
	elsewhere?: string[]; // fields that have a place of their own, so that the form of changes leaves them out
}

const table: Record<string, KindWords> = {
	vm: {
		icon: 'vm',
		one: 'VM',
		many: 'VMs',
		empty: 'Make one from an image; it runs in a minute.',
		first: ['cpus', 'memory', 'autostart', 'restart'],
		columns: {
			'status.node': 'Host',
			'status.since': 'State since',
			'spec.autostart': 'Starts with the host',
			'spec.restart': 'Restart policy',
			'spec.cpu-model': 'CPU model',
			'status.pid': 'Process',
		},
		elsewhere: ['running', 'image', 'disk-size', 'disks', 'nets'],
	},
	template: {
		icon: 'template',
		one: 'template',
		many: 'Templates',
		empty: 'A template is a VM with parameters, to make many that are alike.',
		first: ['parameters', 'vm'],
		columns: { 'spec.vm.cpus': 'CPUs' },
	},
	disk: {
		icon: 'disk',
		one: 'disk',
		many: 'Disks',
		empty: 'VMs that are made from an image bring their disk along. More of them, for data, are made here.',
		first: ['size', 'pool', 'image', 'format'],
		columns: { 'spec.image': 'Image', 'spec.linked': 'Linked', 'spec.keep': 'Kept', 'status.since': 'State since', 'status.path': 'File' },
	},
	image: {
		icon: 'image',
		one: 'image',
		many: 'Images',
		empty: 'An image is what disks of VMs are made from. Upload one, fetch it, or have it built.',
		columns: { 'status.bootable': 'Has a kernel', 'spec.user': 'User', 'status.since': 'State since', 'status.path': 'File' },
	},
	pool: {
		icon: 'pool',
		one: 'pool',
		many: 'Pools',
		empty: 'A pool is where images and disks are.',
		first: ['path', 'quota'],
		columns: { 'spec.quota': 'Quota', 'status.path': 'Folder' },
	},
	network: {
		icon: 'network',
		one: 'network',
		many: 'Networks',
		empty: 'A network gives VMs addresses, names, and a way out.',
		first: ['type', 'bridge', 'subnet', 'forwards'],
		columns: { 'spec.isolated': 'Isolated', 'spec.nat': 'NAT', 'spec.dhcp': 'DHCP', 'spec.dns': 'DNS', 'spec.domain': 'Domain', 'spec.mtu': 'MTU' },
	},
	'security-group': {
		icon: 'security-group',
		one: 'security group',
		many: 'Security groups',
		empty: 'A security group says what may reach the VMs that have its labels.',
		first: ['labels', 'rules'],
	},
	key: { icon: 'key', one: 'SSH key', many: 'SSH keys', empty: 'Public keys that are added here can be let into new VMs.', first: ['public-key'] },
	user: { icon: 'user', one: 'user', many: 'Users', empty: 'Who may sign in, and with which roles.', first: ['full-name', 'password', 'grants'], columns: { 'status.password': 'Has a password', 'spec.local-user': 'User of the host' } },
	role: { icon: 'role', one: 'role', many: 'Roles', empty: 'A role is what users may do who have it.', first: ['rules'] },
	token: {
		icon: 'token',
		one: 'token',
		many: 'Tokens',
		empty: 'A token lets a program in, with no more rights than its user has.',
		first: ['user', 'expires', 'grants'],
		columns: { 'status.expired': 'Expired', 'spec.grants': 'Limited to' },
	},
	project: {
		icon: 'project',
		one: 'project',
		many: 'Projects',
		empty: 'A project holds what belongs together, with rights and quotas of its own.',
		first: ['vms-max', 'cpus-max', 'memory-max', 'storage-max'],
		columns: { 'spec.vms-max': 'Most VMs', 'spec.cpus-max': 'Most CPUs', 'spec.memory-max': 'Most memory', 'spec.storage-max': 'Most storage' },
	},
	operation: { icon: 'operation', one: 'operation', many: 'Operations', empty: 'What takes longer, such as an import or a start, is listed here with how it ended.' },
	node: { icon: 'node', one: 'host', many: 'Hosts', empty: '' },
};

export function wordsOf(kind: string): KindWords {
	return table[kind] ?? { icon: 'info', one: kind.replace(/-/g, ' '), many: kind, empty: '' };
}
