/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of a VM: what it does, its console, its disks and networks, its settings, and what happened to it. */
import { h, type Root } from '../base/view';
import { bytes, lower, words } from '../base/format';
import { go, link } from '../base/router';
import { act, placeOf } from '../api/change';
import { thing as find } from '../api/live';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { Button, Facts, Notes, Notice, Panel, State, When } from '../parts/basic';
import { Copyable } from '../parts/copy';
import { openDialog } from '../parts/dialog';
import { hrefOf, hrefOfThing, RefLink } from '../parts/link';
import { Menu } from '../parts/menu';
import { complain, say } from '../parts/toast';
import { openAction, run } from './action';
import { commandsItem } from './commands';
import { EditForm } from './edit';
import { Graphs } from './graphs';
import { Gone, Header, Standing, type TabList, tabOf, Tabs, Trail } from './page-parts';
import { removeItem } from './remove';
import { ConsoleTab } from './vm-console';
import { Disks, Nets } from './vm-devices';
import { can, forceStop, isOn, vmState } from './vm-state';

function Overview({ vm }: { vm: Thing }): Root {
	const { spec, status } = vm;
	const addresses: string[] = status?.addresses ?? [];
	return (
		<div class="stack">
			{status?.['last-words'] && !isOn(vm) && ['crashed', 'failed'].includes(vmState(vm)) ? (
				<Panel title="Its last words">
					<pre class="log">{status['last-words']}</pre>
				</Panel>
			) : null}
			{status?.pending?.length ? (
				<Notice
					mood="warn"
					actions={<Button label="Restart now" small disabled={!can(vm, 'restart')} onClick={() => void run(vm, 'restart')} />}
				>
					Changed, and taken at the next start: {(status.pending as string[]).map((name) => lower(words(name))).join(', ')}
				</Notice>
			) : null}
			<div class="halves">
				<Panel title="Machine">
					<Facts
						rows={[
							['Processors', `${spec.cpus ?? 1}${spec['cpu-model'] && spec['cpu-model'] !== 'host' ? `, ${spec['cpu-model']}` : ''}`],
							['Memory', bytes(spec.memory)],
							['Image', spec.image ? <RefLink kind="image" project={vm.project} text={spec.image} /> : null],
							['Engine', status?.engine ?? (spec.engine === 'auto' ? 'chosen at start' : spec.engine)],
							['Starts with the host', spec.autostart ? 'Yes' : 'No'],
							['When it ends by itself', { never: 'stays off', always: 'is started again', 'on-failure': 'is started again after a failure' }[spec.restart as string] ?? spec.restart],
						]}
					/>
				</Panel>
				<Panel title="Now">
					<Facts
						rows={[
							['State', <State state={vmState(vm)} />],
							['Since', <When at={status?.since ?? status?.started} />],
							[
								addresses.length === 1 ? 'Address' : 'Addresses',
								addresses.length ? (
									<span class="stack tight">
										{addresses.map((address) => (
											<Copyable key={address} text={address} />
										))}
									</span>
								) : null,
							],
							['Restarts', status?.restarts ?? 0],
							['Created', <When at={vm.created} />],
							['Notes', vm.notes ? <Notes text={vm.notes} /> : null],
						]}
					/>
				</Panel>
			</div>
			<Graphs key={vm.uid} title="Use" path={placeOf(vm)} cpus={vm.spec.cpus} memory={vm.spec.memory} />
		</div>
	);
}

function showCloudInit(vm: Thing): void {
	void act(vm, 'cloud-init').then(
		(body) =>
			openDialog('What cloud-init is told', (close) => (
				<div class="stack">
					<h2>What cloud-init is told</h2>
					{Object.entries(body)
						.filter(([, text]) => typeof text === 'string')
						.map(([name, text]) => (
							<div key={name} class="stack tight">
								<h3>{name}</h3>
								<pre class="log" tabindex="0" aria-label={name}>
									{String(text)}
								</pre>
							</div>
						))}
					<div class="dialog-actions">
						<Button label="Close" onClick={close} />
					</div>
				</div>
			)),
		(error) => complain(error),
	);
}

export function VmPage({ project, name, tab: named }: { project: string; name: string; tab: string }): Root {
	const kind = kindOf('vm');
	const vm = find('vm', project, name);
	if (!vm) return <Gone kind={kind} name={name} />;
	const base = hrefOfThing(vm);
	const tabs: TabList = [
		['', 'Overview'],
		...(may('console', vm) ? ([['console', 'Console']] as TabList) : []),
		['disks', 'Disks'],
		['networks', 'Networks'],
		['events', 'Events'],
		...(may('change', vm) ? ([['edit', 'Edit']] as TabList) : []),
	];
	const tab = tabOf(tabs, named);
	const action = (id: string) => kind.actions.find((one) => one.name === id);
	const withParams = (id: string, label: string, icon: string) => {
		const found = action(id);
		return found ? { label, icon, allowed: may(found.verb, vm), run: () => openAction(vm, found) } : null;
	};
	return (
		<div class="page">
			<Header thing={vm} kind={kind}>
				{!may('operate', vm) ? null : can(vm, 'start') ? (
					<Button key="start" label="Start" icon="play" look="primary" onClick={() => void run(vm, 'start')} />
				) : can(vm, 'resume') ? (
					<Button key="resume" label="Resume" icon="play" look="primary" onClick={() => void run(vm, 'resume')} />
				) : (
					<Button key="stop" label="Stop" icon="stop" disabled={!can(vm, 'stop')} onClick={() => void run(vm, 'stop')} />
				)}
				{may('operate', vm) ? <Button label="Restart" icon="restart" disabled={!can(vm, 'restart')} onClick={() => void run(vm, 'restart')} /> : null}
				{may('console', vm) ? <Button label="Console" icon="terminal" href={`${base}/console`} /> : null}
				<Menu
					button={{ label: `More actions of ${name}`, icon: 'more', iconOnly: true }}
					items={[
						{ label: 'Pause', icon: 'pause', allowed: may('operate', vm), disabled: !can(vm, 'pause'), run: () => void run(vm, 'pause') },
						{ label: 'Reset', icon: 'restart', allowed: may('operate', vm), disabled: !can(vm, 'reset'), run: () => void run(vm, 'reset') },
						{ label: 'Force off', icon: 'stop', allowed: may('operate', vm), disabled: !can(vm, 'force'), run: () => forceStop(vm) },
						null,
						withParams('clone', 'Clone', 'copy'),
						{
							label: 'Rename',
							icon: 'edit',
							allowed: action('rename') !== undefined && may('change', vm),
							run: () =>
								openAction(vm, action('rename')!, (body) => {
									const now = (body.name as string | undefined) ?? '';
									say('good', `${name} was renamed`);
									go(now && body.kind === 'vm' ? hrefOf('vm', project, now) : link('vms'));
								}),
						},
						{ label: 'Cloud-init data', icon: 'info', allowed: action('cloud-init') !== undefined && may(action('cloud-init')!.verb, vm), run: () => showCloudInit(vm) },
						commandsItem(vm),
						null,
						removeItem(vm),
					]}
				/>
			</Header>
			<Tabs base={base} now={tab} tabs={tabs} />
			<Standing thing={vm} />
			{tab === 'console' ? (
				<ConsoleTab key="console" vm={vm} />
			) : tab === 'disks' ? (
				<Disks vm={vm} />
			) : tab === 'networks' ? (
				<Nets vm={vm} />
			) : tab === 'events' ? (
				<Trail thing={vm} />
			) : tab === 'edit' ? (
				<EditForm thing={vm} />
			) : (
				<Overview vm={vm} />
			)}
		</div>
	);
}
