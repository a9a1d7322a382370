/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of VMs, with what is done most from it: start, stop, console. */
import { h } from '../base/view';
import { count } from '../base/format';
import { act } from '../api/change';
import { operationOn } from '../api/operations';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { Button, State, When } from '../parts/basic';
import { ask } from '../parts/dialog';
import { hrefOfThing } from '../parts/link';
import type { TableColumn } from '../parts/table';
import { complain, say } from '../parts/toast';
import { bytes } from '../base/format';
import { columnsOf, doAll, KindList } from './kind-list';
import { run } from './kind-page';

export function vmState(vm: Thing): string {
	if (vm.deleting) return 'deleting';
	return (vm.status?.state as string | undefined) ?? (vm.spec.running ? 'starting' : 'stopped');
}

export function isOn(vm: Thing): boolean {
	return ['running', 'paused', 'starting', 'stopping'].includes(vmState(vm));
}

export function can(vm: Thing, action: string): boolean {
	const state = vmState(vm);
	if (state === 'deleting' || !may('operate', vm)) return false;
	if (action === 'start') return ['stopped', 'crashed', 'failed'].includes(state);
	if (action === 'stop' || action === 'restart') return ['running', 'paused', 'starting'].includes(state);
	if (action === 'pause') return state === 'running';
	if (action === 'resume') return state === 'paused';
	if (action === 'force') return isOn(vm);
	return isOn(vm);
}

export function forceStop(vm: Thing): void {
	ask({
		title: `Force ${vm.name} off?`,
		text: 'As if its power were cut: what the guest has not written is lost.',
		action: 'Force off',
		danger: true,
		run: () => act(vm, 'stop', { force: true }),
	});
}

/** The most useful columns first, and those that the server may have besides. */
function columns(): TableColumn<Thing>[] {
	const own: TableColumn<Thing>[] = [
		{
			id: 'status.state',
			title: 'State',
			sort: vmState,
			cell: (vm) => {
				const operation = operationOn(vm.uid);
				const phase = operation?.status.progress?.phase as string | undefined;
				return <State state={vmState(vm)} {...(phase && vmState(vm) === 'starting' ? { words: `Starting: ${phase}` } : {})} />;
			},
		},
		{ id: 'spec.cpus', title: 'CPUs', number: true, sort: (vm) => vm.spec.cpus ?? 0, cell: (vm) => vm.spec.cpus ?? '' },
		{ id: 'spec.memory', title: 'Memory', number: true, sort: (vm) => vm.spec.memory ?? 0, cell: (vm) => bytes(vm.spec.memory) },
		{
			id: 'status.addresses',
			title: 'Address',
			sort: (vm) => String(vm.status?.addresses?.[0] ?? ''),
			cell: (vm) => (vm.status?.addresses?.length ? <span class="mono">{vm.status.addresses[0]}</span> : <span class="faint">–</span>),
		},
		{ id: 'spec.image', title: 'Image', sort: (vm) => vm.spec.image ?? '', cell: (vm) => vm.spec.image ?? <span class="faint">–</span>, wide: true },
		{
			id: 'status.started',
			title: 'Started',
			sort: (vm) => String(vm.status?.started ?? ''),
			cell: (vm) => (isOn(vm) ? <When at={vm.status?.started} /> : <span class="faint">–</span>),
			wide: true,
		},
	];
	const known = new Set(own.map((column) => column.id));
	return [...own, ...columnsOf(kindOf('vm')).filter((column) => !known.has(column.id) && !column.wide)];
}

async function bulk(vms: Thing[], action: string, done: () => void): Promise<void> {
	const fitting = vms.filter((vm) => can(vm, action));
	try {
		await doAll(fitting, (vm) => act(vm, action));
		say('good', `${action === 'stop' ? 'Stopping' : action === 'start' ? 'Starting' : 'Restarting'} ${count(fitting.length, 'VM')}`);
		done();
	} catch (error) {
		complain(error);
	}
}

export function VmList() {
	return (
		<KindList
			kind={kindOf('vm')}
			columns={columns()}
			rowButtons={(vm) => [
				!may('operate', vm) ? null : can(vm, 'stop') ? (
					<Button key="stop" label={`Stop ${vm.name}`} title="Stop" icon="stop" iconOnly small look="quiet" onClick={() => void run(vm, 'stop')} />
				) : (
					<Button key="start" label={`Start ${vm.name}`} title="Start" icon="play" iconOnly small look="quiet" disabled={!can(vm, 'start')} onClick={() => void run(vm, 'start')} />
				),
				may('console', vm) ? (
					<Button key="console" label={`Console of ${vm.name}`} title="Console" icon="terminal" iconOnly small look="quiet" href={`${hrefOfThing(vm)}/console`} />
				) : null,
			]}
			rowMenu={(vm) => [
				{ label: 'Restart', icon: 'restart', allowed: may('operate', vm), disabled: !can(vm, 'restart'), run: () => void run(vm, 'restart') },
				can(vm, 'resume')
					? { label: 'Resume', icon: 'play', run: () => void run(vm, 'resume') }
					: { label: 'Pause', icon: 'pause', allowed: may('operate', vm), disabled: !can(vm, 'pause'), run: () => void run(vm, 'pause') },
				{ label: 'Force off', icon: 'stop', allowed: may('operate', vm), disabled: !can(vm, 'force'), run: () => forceStop(vm) },
				null,
			]}
			bulk={(vms, done) => [
				<Button key="start" label="Start" icon="play" small disabled={!vms.some((vm) => can(vm, 'start'))} onClick={() => void bulk(vms, 'start', done)} />,
				<Button key="stop" label="Stop" icon="stop" small disabled={!vms.some((vm) => can(vm, 'stop'))} onClick={() => void bulk(vms, 'stop', done)} />,
				<Button key="restart" label="Restart" icon="restart" small disabled={!vms.some((vm) => can(vm, 'restart'))} onClick={() => void bulk(vms, 'restart', done)} />,
			]}
		/>
	);
}
