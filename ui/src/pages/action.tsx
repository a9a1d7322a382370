/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Actions on objects: carried out at once, or after their parameters were asked for. */
import { attempts } from '../base/attempt';
import { h } from '../base/view';
import { sentence, words } from '../base/format';
import { act } from '../api/change';
import type { Problem } from '../api/problem';
import { type Action, presets } from '../api/schema';
import { copy, type Thing, type Values } from '../api/types';
import { Button, ProblemNotice } from '../parts/basic';
import { openDialog } from '../parts/dialog';
import { Fields } from '../parts/form';
import { complain, say } from '../parts/toast';

/** Asks for the parameters of an action and carries it out. */
function ActionForm(initial: { thing: Thing; action: Action; close: () => void; onResult: ((body: Values) => void) | undefined }) {
	const { thing, action, close, onResult } = initial;
	// What the action sets and the object has is what one begins from.
	const values = presets(action.params);
	for (const field of action.params) if (field.name !== 'name' && thing.spec[field.name] !== undefined) values[field.name] = copy(thing.spec[field.name]);
	const attempt = attempts();
	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			const body = await act(thing, action.name, values);
			close();
			if (onResult) onResult(body);
			else say('good', `${words(action.name)}: ${thing.name}`, action.operation ? 'It is under way' : '');
		});
	};
	return () => (
		<form onSubmit={submit} novalidate>
			<h2>
				{words(action.name)} {thing.name}
			</h2>
			<p class="muted">{sentence(action.help)}.</p>
			{attempt.problem && !action.params.some((field) => attempt.problem!.field.includes(field.name)) ? <ProblemNotice problem={attempt.problem} /> : null}
			<Fields fields={action.params} path="params" values={values} context={{ project: thing.project ?? '', problem: attempt.problem && { ...attempt.problem, message: attempt.problem.message, field: `params.${attempt.problem.field.split('.').at(-1)}` } as Problem, changing: false }} />
			<div class="dialog-actions">
				<Button label="Cancel" onClick={close} />
				<Button label={words(action.name)} type="submit" look="primary" busy={attempt.busy} />
			</div>
		</form>
	);
}

export function openAction(thing: Thing, action: Action, onResult?: (body: Values) => void): void {
	openDialog(`${words(action.name)} ${thing.name}`, (close) => <ActionForm thing={thing} action={action} close={close} onResult={onResult} />);
}

export async function run(thing: Thing, action: string, params: Values = {}): Promise<void> {
	try {
		await act(thing, action, params);
	} catch (error) {
		complain(error, `${words(action)} did not work for ${thing.name}`);
	}
}
