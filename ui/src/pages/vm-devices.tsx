/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks and network cards of a VM. */
import { h, type Root } from '../base/view';
import { bytes, rate } from '../base/format';
import { thing as find } from '../api/live';
import { fieldAt, kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing, Values } from '../api/types';
import { Button, Empty, Panel, Pill } from '../parts/basic';
import { hrefOf, RefLink } from '../parts/link';
import { Menu } from '../parts/menu';
import { Table } from '../parts/table';
import { summary } from '../parts/values';
import { openDisk, openNet } from './attach';

export function Disks({ vm }: { vm: Thing }): Root {
	const disks: Values[] = vm.spec.disks ?? [];
	const limits = fieldAt(kindOf('vm').spec, 'disks')?.fields ?? [];
	return (
		<Panel title="Disks" flush actions={may('change', vm) ? <Button label="Attach disk" icon="plus" small onClick={() => openDisk(vm)} /> : null}>
			{disks.length ? (
				<Table
					label="Disks"
					rows={disks.map((disk, i) => ({ ...disk, place: i }) as Values)}
					rowKey={(disk) => String(disk.disk)}
					rowLabel={(disk) => String(disk.disk)}
					href={(disk) => hrefOf('disk', vm.project, String(disk.disk))}
					columns={[
						{ id: 'disk', title: 'Disk', main: true, cell: (disk) => disk.disk },
						{ id: 'device', title: 'In the guest', cell: (disk) => <span class="mono">/dev/vd{String.fromCharCode(97 + disk.place)}</span> },
						{
							id: 'size',
							title: 'Size',
							number: true,
							cell: (disk) => {
								const one = find('disk', vm.project, String(disk.disk));
								return bytes(one?.status?.size ?? one?.spec.size);
							},
						},
						{ id: 'used', title: 'Takes', number: true, cell: (disk) => bytes(find('disk', vm.project, String(disk.disk))?.status?.used) },
						{
							id: 'limits',
							title: 'Limits',
							cell: (disk) => {
								const { disk: _, place: __, readonly, ...rest } = disk;
								return (
									<span>
										{readonly ? <Pill>read-only</Pill> : null} {summary(rest, limits) || <span class="faint">none</span>}
									</span>
								);
							},
						},
					]}
					actions={(disk) => (
						<Menu
							button={{ label: `Actions of ${disk.disk}`, icon: 'more', iconOnly: true, small: true, look: 'quiet' }}
							items={[
								{ label: 'Change', icon: 'edit', allowed: may('change', vm), run: () => openDisk(vm, disk.place) },
								{ label: 'Detach', icon: 'close', danger: true, allowed: may('change', vm), run: () => openDisk(vm, disk.place, true) },
							]}
						/>
					)}
				/>
			) : (
				<Empty icon="disk" title="No disks" action={may('change', vm) ? <Button label="Attach disk" icon="plus" onClick={() => openDisk(vm)} /> : null}>
					What the VM writes is lost when it ends.
				</Empty>
			)}
		</Panel>
	);
}

export function Nets({ vm }: { vm: Thing }): Root {
	const nets: Values[] = vm.spec.nets ?? [];
	const seen: Values[] = vm.status?.nets ?? [];
	return (
		<Panel title="Network cards" flush actions={may('change', vm) ? <Button label="Add network card" icon="plus" small onClick={() => openNet(vm)} /> : null}>
			{nets.length ? (
				<Table
					label="Network cards"
					rows={nets.map((net, i) => ({ ...net, place: i }) as Values)}
					rowKey={(net) => String(net.place)}
					rowLabel={(net) => `card ${net.place + 1}`}
					columns={[
						{ id: 'network', title: 'Network', main: true, cell: (net) => <RefLink kind="network" project={vm.project} text={net.network ?? 'default'} /> },
						{ id: 'mac', title: 'Hardware address', cell: (net) => <span class="mono">{net.mac ?? seen[net.place]?.mac ?? 'made at start'}</span> },
						{
							id: 'address',
							title: 'Address',
							cell: (net) => <span class="mono">{net.address ?? seen[net.place]?.address ?? seen[net.place]?.addresses?.join(', ') ?? '–'}</span>,
						},
						{
							id: 'forwards',
							title: 'Ports of the host',
							cell: (net) => (net.forwards?.length ? <span class="mono">{net.forwards.join(', ')}</span> : <span class="faint">none</span>),
						},
						{
							id: 'limits',
							title: 'Limits',
							cell: (net) =>
								[net['receive-max'] ? `in ${rate(net['receive-max'])}` : '', net['transmit-max'] ? `out ${rate(net['transmit-max'])}` : '']
									.filter(Boolean)
									.join(', ') || <span class="faint">none</span>,
						},
					]}
					actions={(net) => (
						<Menu
							button={{ label: `Actions of card ${net.place + 1}`, icon: 'more', iconOnly: true, small: true, look: 'quiet' }}
							items={[
								{ label: 'Change', icon: 'edit', allowed: may('change', vm), run: () => openNet(vm, net.place) },
								{ label: 'Remove', icon: 'trash', danger: true, allowed: may('change', vm), run: () => openNet(vm, net.place, true) },
							]}
						/>
					)}
				/>
			) : (
				<Empty icon="network" title="No network card" action={may('change', vm) ? <Button label="Add network card" icon="plus" onClick={() => openNet(vm)} /> : null}>
					The VM reaches nothing, and nothing reaches it.
				</Empty>
			)}
		</Panel>
	);
}
