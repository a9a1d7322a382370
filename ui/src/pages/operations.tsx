/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All operations that the server remembers. */
import { h, type Root } from '../base/view';
import { collection, reload } from '../api/live';
import { isOver, operations } from '../api/operations';
import { route, setQuery } from '../base/router';
import { Empty, Loading, Panel, ProblemNotice } from '../parts/basic';
import { OperationLine } from '../parts/drawer';

const views: [string, string][] = [
	['', 'All'],
	['running', 'Under way'],
	['failed', 'Failed'],
];

export function OperationsPage(): Root {
	const view = route().query.get('state') ?? '';
	const all = operations();
	const shown = all.filter((one) => (view === 'running' ? !isOver(one) : view ? one.status.state === view : !one.spec.parent));
	const found = collection('operation');
	return (
		<div class="page narrow">
			<div class="title">
				<h1>Operations</h1>
				<div class="actions">
					<div class="segments" role="group" aria-label="Which">
						{views.map(([id, title]) => (
							<button key={title} type="button" aria-pressed={String(view === id)} onClick={() => setQuery({ state: id || null })}>
								{title}
							</button>
						))}
					</div>
				</div>
			</div>
			{found.state === 'failed' ? <ProblemNotice problem={found.problem!} retry={() => reload('operation')} /> : null}
			<Panel>
				{found.state === 'loading' ? (
					<Loading />
				) : shown.length ? (
					<div>
						{shown.slice(0, 200).map((one) => (
							<OperationLine key={one.uid} operation={one} all={all} />
						))}
					</div>
				) : (
					<Empty icon="operation" title={view === 'running' ? 'Nothing is under way' : view === 'failed' ? 'Nothing has failed' : 'No operations yet'}>
						What takes longer, such as an import or a start, is listed here with how it ended.
					</Empty>
				)}
			</Panel>
		</div>
	);
}
