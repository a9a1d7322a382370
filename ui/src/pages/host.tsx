/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: what it has, what VMs take of it, what is wrong with it. */
import { type Child, h, type Root } from '../base/view';
import { bytes, sentence, words } from '../base/format';
import { collection, things } from '../api/live';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Values } from '../api/types';
import { Button, Facts, Loading, Meter, Notice, Panel, When } from '../parts/basic';
import { openAction } from './action';
import { SpecFacts } from './kind-page';
import { Unread } from './page-parts';

export function HostPage(): Root {
	const found = collection('node');
	const node = things('node')[0];
	if (!node)
		return found.state === 'failed' ? <Unread kind={kindOf('node')} /> : found.state === 'loading' ? <Loading /> : <Notice>The server tells nothing of its host.</Notice>;
	const { status, spec } = node;
	const used = (status.memory ?? 0) - (status['memory-available'] ?? 0);
	const numa: Values[] = status.numa ?? [];
	return (
		<div class="page">
			<div class="title">
				<h1>{node.name}</h1>
				<div class="actions">
					{kindOf('node')
						.actions.filter((action) => may(action.verb, node))
						.map((action) => (
							<Button key={action.name} label={words(action.name)} icon="edit" onClick={() => openAction(node, action)} />
						))}
				</div>
			</div>
			{((status.warnings ?? []) as string[]).map((text) => (
				<Notice key={text} mood="warn">
					{sentence(text)}
				</Notice>
			))}
			<div class="columns">
				<Panel title="Capacity">
					<Facts
						rows={[
							['Memory', <Meter used={used} total={status.memory ?? 0} label="Memory in use" />],
							['In VMs', bytes(status['memory-used'])],
							['Processors', [status.cpus, status['cpu-model']].filter(Boolean).join(' × ')],
							['VMs', `${status['vms-running'] ?? 0} of ${status.vms ?? 0} running`],
							...numa.map((one, i): [string, Child] => [`NUMA node ${i}`, `processors ${one.cpus}, ${bytes(one.memory)}`]),
						]}
					/>
				</Panel>
				<Panel title="System">
					<Facts
						rows={[
							['Cella', status.version],
							['Engine', [words(status.engine ?? ''), status['engine-reason']].filter(Boolean).join(': ')],
							['Kernel', status.kernel],
							['System', status.os],
							['Control groups', status.cgroups],
							['Daemon started', <When at={status.started} />],
						]}
					/>
				</Panel>
				<Panel title="Settings">
					<SpecFacts fields={kindOf('node').spec} values={spec} project={undefined} />
				</Panel>
			</div>
		</div>
	);
}
