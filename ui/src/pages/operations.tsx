/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All operations that the server remembers, the youngest first. */
import { h, type Root } from '../base/view';
import { lower, span, words } from '../base/format';
import { cancelOperation, isOver } from '../api/operations';
import { hasKind, kindOf } from '../api/schema';
import type { Thing } from '../api/types';
import { Bar, Button, Dash, When } from '../parts/basic';
import { OperationError, OperationState, operationTitle, progressWords } from '../parts/drawer';
import { hrefOf } from '../parts/link';
import { complain } from '../parts/toast';
import type { ListColumn } from './columns';
import { KindList } from './kind-list';

const target = (one: Thing) => one.spec.resource ?? {};
const titleOf = (one: Thing) => `${operationTitle(one)} ${target(one).name ?? ''}`;

/** Seconds that it took, or has taken so far. */
function lasted(one: Thing): number {
	const { started, ended } = one.status;
	return started ? ((ended ? Date.parse(ended) : Date.now()) - Date.parse(started)) / 1000 : 0;
}

/** How far it is, or why it failed. */
function Progress({ operation }: { operation: Thing }): Root {
	if (isOver(operation)) return <OperationError operation={operation} />;
	const { done = 0, total = 0 } = operation.status.progress ?? {};
	return (
		<span class="meter">
			<Bar done={total ? done : 0} total={total} label={`Progress of ${titleOf(operation)}`} />
			<span class="small muted">{progressWords(operation)}</span>
		</span>
	);
}

const main: ListColumn = { id: 'what', title: 'What', main: true, sort: titleOf, cell: titleOf };

const columns: ListColumn[] = [
	{ id: 'state', title: 'State', sort: (one) => one.status.state, cell: (one) => <OperationState operation={one} /> },
	{ id: 'created', title: 'Began', sort: (one) => one.created, cell: (one) => <When at={one.created} /> },
	{ id: 'lasted', title: 'Took', number: true, sort: lasted, cell: (one) => (one.status.started ? span(lasted(one)) : <Dash />) },
	{ id: 'actor', title: 'By', preset: 'roomy', sort: (one) => one.spec.actor ?? '', cell: (one) => one.spec.actor ?? 'Cella' },
	{ id: 'progress', title: 'Progress', full: true, cell: (one) => <Progress operation={one} /> },
	{ id: 'project', title: 'Project', preset: 'off', sort: (one) => target(one).project ?? '', cell: (one) => target(one).project ?? <Dash /> },
	{ id: 'kind', title: 'Kind', preset: 'off', sort: (one) => target(one).kind ?? '', cell: (one) => lower(words(target(one).kind ?? '')) },
	{ id: 'token', title: 'Token', preset: 'off', sort: (one) => one.spec.token ?? '', cell: (one) => one.spec.token ?? <Dash /> },
	{ id: 'ended', title: 'Ended', preset: 'off', sort: (one) => one.status.ended ?? '', cell: (one) => <When at={one.status.ended} /> },
	{ id: 'name', title: 'ID', preset: 'off', cell: (one) => <span class="mono">{one.name}</span> },
];

function hrefOfTarget(one: Thing): string | undefined {
	const { kind, project, name } = target(one);
	return name && hasKind(kind) ? hrefOf(kind, project, name) : undefined;
}

export function OperationsPage(): Root {
	return (
		<KindList
			kind={kindOf('operation')}
			main={main}
			columns={columns}
			order={{ by: 'created', down: true }}
			href={hrefOfTarget}
			textOf={(one) => `${titleOf(one)} ${target(one).project ?? ''} ${one.spec.actor ?? ''} ${one.status.error?.message ?? ''}`}
			rowButtons={(one) =>
				isOver(one) || one.status.cancellable === false ? null : (
					<Button
						label={`Cancel ${titleOf(one)}`}
						title="Cancel"
						icon="close"
						iconOnly
						small
						look="quiet"
						onClick={() => void cancelOperation(one).catch((error) => complain(error, 'The operation was not cancelled'))}
					/>
				)
			}
		/>
	);
}
