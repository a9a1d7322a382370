/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of VMs, with what is done most from it: start, stop, console. */
import { h } from '../base/view';
import { bytes, count, percent, span } from '../base/format';
import { act, doAll } from '../api/change';
import { operationOn } from '../api/operations';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { currentUses, useOf } from '../api/use';
import { Button, Dash, State, When } from '../parts/basic';
import { hrefOfThing } from '../parts/link';
import { complain, say } from '../parts/toast';
import { run } from './action';
import { columnsOf, type ListColumn } from './columns';
import { KindList } from './kind-list';
import { can, forceStop, isOn, vmState } from './vm-state';

/** The part of its processors that it takes. */
function cpuUse(vm: Thing): number | null {
	const cores = useOf(vm)?.cpu ?? null;
	return cores === null ? null : cores / (vm.spec.cpus ?? 1);
}

/** The most useful columns first, and those that the server may have besides. */
function columns(): ListColumn[] {
	const own: ListColumn[] = [
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
			cell: (vm) => (vm.status?.addresses?.length ? <span class="mono">{vm.status.addresses[0]}</span> : <Dash />),
		},
		{ id: 'spec.image', title: 'Image', sort: (vm) => vm.spec.image ?? '', cell: (vm) => vm.spec.image ?? <Dash />, preset: 'roomy' },
		{
			id: 'status.started',
			title: 'Started',
			sort: (vm) => String(vm.status?.started ?? ''),
			cell: (vm) => (isOn(vm) ? <When at={vm.status?.started} /> : <Dash />),
			preset: 'roomy',
		},
		{
			id: 'uptime',
			title: 'Up for',
			preset: 'off',
			sort: (vm) => (isOn(vm) && vm.status?.started ? -Date.parse(vm.status.started) : -Number.MAX_VALUE),
			cell: (vm) => (isOn(vm) && vm.status?.started ? span((Date.now() - Date.parse(vm.status.started)) / 1000) : <Dash />),
		},
	];
	for (const [id, title, valueOf, words] of [
		['use.cpu', 'CPU use', cpuUse, percent],
		['use.memory', 'Memory use', (vm: Thing) => useOf(vm)?.memory ?? null, bytes],
	] as const)
		own.push({ id, title, preset: 'off', number: true, sort: (vm) => valueOf(vm) ?? -1, cell: (vm) => (isOn(vm) ? words(valueOf(vm)) : <Dash />) });
	const known = new Set(own.map((column) => column.id));
	const others = columnsOf(kindOf('vm')).filter((column) => !known.has(column.id));
	return [...own, ...others.map((column): ListColumn => (column.preset === 'roomy' ? { ...column, preset: 'off' } : column))];
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
			basis={(shown) => (shown.some((column) => column.id.startsWith('use.')) ? currentUses() : null)}
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
