/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first page: what runs, how full the host is, what wants attention, what was done lately. */
import { type Child, h, type Root } from '../base/view';
import { bytes, count, sentence, words } from '../base/format';
import { link } from '../base/router';
import { chosenProject } from '../base/settings';
import { placeOf } from '../api/change';
import { collection, things } from '../api/live';
import { operations } from '../api/operations';
import { hasKind, kindOf } from '../api/schema';
import { mayAny } from '../api/session';
import type { Thing } from '../api/types';
import { Bar, Button, Empty, Loading, Notice, Panel, State, When } from '../parts/basic';
import { openOperations, OperationState, operationTitle } from '../parts/drawer';
import { Icon } from '../parts/icon';
import { hrefOf, hrefOfThing } from '../parts/link';
import { Graphs } from './graphs';
import { vmState } from './vm-state';

function Figure({ icon, name, value, note, href, bar }: { icon: string; name: string; value: Child; note?: Child; href: string; bar?: Child }) {
	return (
		<a class="figure" href={href}>
			<span class="name">
				<Icon name={icon} />
				{name}
			</span>
			<span class="value">{value}</span>
			{bar}
			<span class="small muted">{note}</span>
		</a>
	);
}

/** What somebody should look at, worst first. */
function concernsOf(): { thing: Thing; words: string; bad: boolean }[] {
	const found: { thing: Thing; words: string; bad: boolean }[] = [];
	for (const kind of ['vm', 'disk', 'image', 'pool', 'network', 'security-group', 'project'].filter((name) => mayAny('read', name))) {
		for (const one of things(kind)) {
			const state = one.status?.state as string | undefined;
			if (one.status?.problem) found.push({ thing: one, words: one.status.problem, bad: true });
			else if (state === 'crashed' || state === 'failed') found.push({ thing: one, words: state, bad: true });
			else if (one.status?.warning) found.push({ thing: one, words: one.status.warning, bad: false });
		}
	}
	return found.sort((a, b) => Number(b.bad) - Number(a.bad)).slice(0, 8);
}

export function Overview(): Root {
	const project = chosenProject();
	const vms = mayAny('read', 'vm') ? things('vm', project) : [];
	const node = mayAny('read', 'node') ? things('node')[0] : undefined;
	const pools = mayAny('read', 'pool') ? things('pool') : [];
	const running = vms.filter((vm) => vmState(vm) === 'running').length;
	const amiss = vms.filter((vm) => ['crashed', 'failed'].includes(vmState(vm))).length;
	const ready = !mayAny('read', 'vm') || collection('vm').state !== 'loading';
	const status = node?.status ?? {};
	const used = status.memory ? status.memory - (status['memory-available'] ?? 0) : 0;
	const capacity = pools.reduce((sum, pool) => sum + (pool.spec.quota || pool.status?.capacity || 0), 0);
	const taken = pools.reduce((sum, pool) => sum + (pool.spec.quota ? (pool.status?.used ?? 0) : (pool.status?.capacity ?? 0) - (pool.status?.available ?? 0)), 0);
	const cpus = vms.filter((vm) => vmState(vm) === 'running').reduce((sum, vm) => sum + (vm.spec.cpus ?? 1), 0);
	const concerns = concernsOf();
	const warnings: string[] = status.warnings ?? [];
	const lately = operations().slice(0, 7);
	return (
		<div class="page">
			<div class="title">
				<h1>Overview</h1>
				<div class="actions">{mayAny('create', 'vm') ? <Button label="Create VM" icon="plus" look="primary" href={link('vms', 'new')} /> : null}</div>
			</div>
			{warnings.map((text) => (
				<Notice key={text} mood="warn">
					{sentence(text)}
				</Notice>
			))}
			<div class="figures">
				<Figure
					icon="vm"
					name="VMs"
					href="#/vms"
					value={
						ready ? (
							<span>
								{running} <small>of {vms.length} running</small>
							</span>
						) : (
							'–'
						)
					}
					note={amiss ? <State state="failed" words={count(amiss, 'has failed', 'have failed')} /> : vms.length ? 'none has failed' : 'none yet'}
				/>
				<Figure
					icon="node"
					name="Processors"
					href="#/nodes"
					value={
						<span>
							{cpus} <small>virtual on {status.cpus ?? '–'}</small>
						</span>
					}
					note={[words(status.engine ?? ''), status['cpu-model']].filter(Boolean).join(' · ')}
				/>
				<Figure
					icon="overview"
					name="Memory"
					href="#/nodes"
					value={
						<span>
							{bytes(used)} <small>of {bytes(status.memory)}</small>
						</span>
					}
					bar={<Bar done={used} total={status.memory ?? 0} label="Memory in use" warnAt={0.85} />}
					note={`${bytes(status['memory-used'])} in VMs`}
				/>
				<Figure
					icon="pool"
					name="Storage"
					href="#/pools"
					value={
						<span>
							{bytes(taken)} <small>of {bytes(capacity)}</small>
						</span>
					}
					bar={<Bar done={taken} total={capacity} label="Storage in use" warnAt={0.85} />}
					note={count(pools.length, 'pool')}
				/>
			</div>
			{ready && !vms.length ? (
				<section class="panel">
					<Empty icon="vm" title="Make your first VM" action={mayAny('create', 'vm') ? <Button label="Create VM" icon="plus" look="primary" href={link('vms', 'new')} /> : null}>
						{mayAny('read', 'image') && things('image').length ? 'An image is there: it runs in a minute.' : 'First an image: have one built, or upload it. Then a VM takes a minute.'}
					</Empty>
				</section>
			) : null}
			{node ? <Graphs key={node.uid} title="Host" path={placeOf(node)} cpus={status.cpus} memory={status.memory} /> : null}
			<div class="halves">
				<Panel title="Wants attention" flush id="attention">
					{concerns.length ? (
						<ul class="list">
							{concerns.map(({ thing, words: text, bad }) => (
								<li key={thing.uid}>
									<span class="grow">
										<a href={hrefOfThing(thing)}>{thing.name}</a> <span class="faint small">{words(kindOf(thing.kind).name)}</span>
										<span class="small muted block">
											{sentence(text)}
										</span>
									</span>
									<State state={bad ? 'failed' : 'warning'} words={bad ? 'Problem' : 'Warning'} />
								</li>
							))}
						</ul>
					) : ready ? (
						<div class="row muted beside">
							<Icon name="check" />
							Everything is as it should be.
						</div>
					) : (
						<Loading rows={2} />
					)}
				</Panel>
				<Panel title="Lately" flush id="lately" actions={<Button label="All operations" small look="quiet" onClick={openOperations} />}>
					{lately.length ? (
						<ul class="list">
							{lately.map((one) => (
								<li key={one.uid}>
									<span class="grow cut">
										{operationTitle(one)}{' '}
										{one.spec.resource?.name && hasKind(one.spec.resource.kind) ? (
											<a href={hrefOf(one.spec.resource.kind, one.spec.resource.project, one.spec.resource.name)}>{one.spec.resource.name}</a>
										) : null}
									</span>
									<OperationState operation={one} />
									<span class="small faint">
										<When at={one.created} />
									</span>
								</li>
							))}
						</ul>
					) : (
						<div class="muted beside">
							Nothing was done yet.
						</div>
					)}
				</Panel>
			</div>
		</div>
	);
}
