/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page of a VM: what it does, its console, its disks and networks, its settings, and what happened to it. */
import { h, redraw, type Root, type Self } from '../base/view';
import { bytes, rate, words } from '../base/format';
import { go, link } from '../base/router';
import { act, placeOf } from '../api/change';
import { thing as find } from '../api/live';
import { problemOf } from '../api/problem';
import { fieldAt, kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing, Values } from '../api/types';
import { Button, Empty, Facts, Loading, Notes, Notice, Panel, Pill, State, When } from '../parts/basic';
import { Copyable, copyText } from '../parts/copy';
import { openDialog } from '../parts/dialog';
import { hrefOf, hrefOfThing, RefLink } from '../parts/link';
import { Menu } from '../parts/menu';
import { Table } from '../parts/table';
import type { Console, ConsoleState } from '../parts/terminal';
import { complain, say } from '../parts/toast';
import { summary } from '../parts/values';
import { openNet, openDisk } from './attach';
import { commandsItem } from './commands';
import { EditForm } from './edit';
import { Graphs } from './graphs';
import { Gone, Header, openAction, run, Standing, Tabs, Trail } from './kind-page';
import { removeItem } from './remove';
import { can, forceStop, isOn, vmState } from './vms';

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
					Changed, and taken at the next start: {(status.pending as string[]).map((name) => words(name).replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase())).join(', ')}
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

const CONSOLE_WORDS: Record<ConsoleState, string> = {
	open: 'Connected',
	connecting: 'Connecting',
	waiting: 'Connecting again',
	closed: 'Closed',
	refused: 'Connecting again',
};

function ConsoleTab(initial: { vm: Thing }, self: Self) {
	let state: ConsoleState = 'connecting';
	let note = '';
	let terminal: Console | null = null;
	let box: HTMLElement | null = null;
	let gone = false;
	self.onRemove(() => {
		gone = true;
		terminal?.close();
	});
	const start = async (place: HTMLElement) => {
		// The terminal is a third of the console's code: it comes when it is wanted.
		const { openConsole } = await import('../parts/terminal');
		if (gone) return;
		terminal = openConsole(place, `${placeOf(initial.vm)}/console`, (now, said) => {
			state = now;
			note = said;
			redraw();
		});
		terminal.focus();
	};
	return ({ vm }: typeof initial) => (
		<div
			class="terminal-box stack tight"
			ref={(dom: HTMLElement) => {
				box = dom;
			}}
		>
			<div class="terminal-bar">
				<span class="grow">
					{isOn(vm) ? <State state={state === 'open' ? 'live' : state === 'connecting' ? 'starting' : 'stopped'} words={CONSOLE_WORDS[state]} /> : <State state="stopped" words="The VM is off" />}
				</span>
				<Button
					label="Copy"
					icon="copy"
					small
					look="quiet"
					title="Copy what is chosen, or all of it"
					onClick={() => terminal && copyText(terminal.copy())}
				/>
				<Button label="Log" icon="audit" small look="quiet" onClick={() => openLogs(vm)} />
				<Button
					label="Full screen"
					icon="full"
					small
					look="quiet"
					onClick={() => void (document.fullscreenElement ? document.exitFullscreen() : box?.requestFullscreen())}
				/>
			</div>
			<div class="terminal-screen" ref={(dom: HTMLElement) => void start(dom)} />
			{!isOn(vm) ? (
				<Notice actions={<Button label="Start" icon="play" small look="primary" disabled={!can(vm, 'start')} onClick={() => void run(vm, 'start')} />}>
					The VM is {words(vmState(vm)).toLowerCase()}. What it wrote last stands above.
				</Notice>
			) : state === 'closed' || note ? (
				<Notice mood="warn" actions={<Button label="Connect" small onClick={() => terminal?.retry()} />}>
					{note || 'The connection was closed.'}
				</Notice>
			) : null}
		</div>
	);
}

function Logs(initial: { vm: Thing; close: () => void }) {
	let source = 'console';
	let text: string | null = null;
	const read = async () => {
		text = null;
		redraw();
		try {
			const body = await act(initial.vm, 'logs', { source });
			text = String(body.text ?? body.log ?? body.content ?? '');
		} catch (error) {
			text = problemOf(error).message;
		}
		redraw();
	};
	void read();
	return ({ vm, close }: typeof initial) => (
		<div class="stack">
			<div class="row">
				<h2 class="grow">Log of {vm.name}</h2>
				<div class="segments" role="group" aria-label="Which log">
					{[
						['console', 'Console'],
						['vmm', 'Process'],
					].map(([id, title]) => (
						<button
							key={id}
							type="button"
							aria-pressed={String(source === id)}
							onClick={() => {
								source = id!;
								void read();
							}}
						>
							{title}
						</button>
					))}
				</div>
			</div>
			{text === null ? <Loading /> : <pre class="log" tabindex="0" aria-label="Log">{text || 'It is empty.'}</pre>}
			<div class="dialog-actions">
				<Button label="Close" onClick={close} />
			</div>
		</div>
	);
}

function openLogs(vm: Thing): void {
	openDialog(`Log of ${vm.name}`, (close) => <Logs vm={vm} close={close} />, 'large');
}

function Disks({ vm }: { vm: Thing }): Root {
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

function Nets({ vm }: { vm: Thing }): Root {
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

export function VmPage({ project, name, tab }: { project: string; name: string; tab: string }): Root {
	const kind = kindOf('vm');
	const vm = find('vm', project, name);
	if (!vm) return <Gone kind={kind} name={name} />;
	const base = hrefOfThing(vm);
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
			<Tabs
				base={base}
				now={tab}
				tabs={[
					['', 'Overview'],
					...(may('console', vm) ? ([['console', 'Console']] as [string, string][]) : []),
					['disks', 'Disks'],
					['networks', 'Networks'],
					['events', 'Events'],
					...(may('change', vm) ? ([['edit', 'Edit']] as [string, string][]) : []),
				]}
			/>
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

