/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command lines that do with an object what its page does. */
import { h } from '../base/view';
import { kindOf } from '../api/schema';
import { may } from '../api/session';
import type { Thing } from '../api/types';
import { Button } from '../parts/basic';
import { commandLine, CopyBox } from '../parts/copy';
import { openDialog } from '../parts/dialog';
import type { MenuItem } from '../parts/menu';

/** Of actions those that need no more than the name. */
function commandsOf(thing: Thing): string[] {
	const kind = kindOf(thing.kind);
	const project = thing.project && thing.project !== 'default' ? ['--project', thing.project] : [];
	const actions = kind.actions.filter((action) => may(action.verb, thing) && !action.params.some((param) => param.required));
	const verbs = [
		'show',
		...(thing.kind === 'vm' && may('console', thing) ? ['console'] : []),
		...(!kind.internal && may('change', thing) ? ['edit'] : []),
		...actions.map((action) => action.name),
		...(may('delete', thing) ? ['delete'] : []),
	];
	return verbs.map((verb) => commandLine(['cella', thing.kind, verb, thing.name, ...project]));
}

export function commandsItem(thing: Thing): MenuItem {
	return {
		label: 'Commands',
		icon: 'terminal',
		run: () =>
			openDialog(`Commands for ${thing.name}`, (close) => (
				<div class="stack">
					<h2>Commands for {thing.name}</h2>
					<p class="muted">The same in a shell, on the host or wherever cella is signed in.</p>
					<div class="stack tight">
						{commandsOf(thing).map((line) => (
							<CopyBox key={line} text={line} name={line} />
						))}
					</div>
					<div class="dialog-actions">
						<Button label="Close" onClick={close} attributes={{ autofocus: true }} />
					</div>
				</div>
			)),
	};
}
