/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every object has besides its spec: name, project, labels, notes, protection. */
import { h } from '../base/view';
import { words } from '../base/format';
import { things } from '../api/live';
import { type Kind, hasKind } from '../api/schema';
import type { Values } from '../api/types';
import { FieldBox, fieldWords, type FormContext, More } from './form';
import { MapInput, Select, Switch } from './inputs';

export const NAME_PATTERN = /^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$/;

/** What is wrong with a name before it is sent; null: nothing, or it is empty. */
export function nameProblem(name: string): string | null {
	if (!name || NAME_PATTERN.test(name)) return null;
	return 'lower case letters, digits, "-" and ".", with letters or digits at both ends';
}

export function NameField({ values, context, autofocus, label = 'Name' }: { values: Values; context: FormContext; autofocus?: boolean; label?: string }) {
	const said = context.problem?.field === 'name' ? context.problem : null;
	return (
		<FieldBox
			label={label}
			required
			error={said?.message ?? nameProblem(values.name ?? '')}
			hint={said?.hint ?? ''}
		>
			{(ids) => (
				<input
					{...ids}
					name="name"
					autocomplete="off"
					autocapitalize="none"
					spellcheck="false"
					required
					maxlength="63"
					autofocus={autofocus}
					value={values.name ?? ''}
					onInput={(event: Event) => {
						values.name = (event.target as HTMLInputElement).value;
					}}
				/>
			)}
		</FieldBox>
	);
}

export function ProjectField({ kind, project, onChange }: { kind: Kind; project: string; onChange: (name: string) => void }) {
	if (kind.scope !== 'project' || !hasKind('project')) return null;
	const names = things('project').map((one) => one.name);
	if (names.length < 2) return null;
	return (
		<FieldBox label="Project">
			{(ids) => (
				<Select attributes={ids} value={project} options={names.map((name) => [name, name])} onValue={onChange} />
			)}
		</FieldBox>
	);
}

export function CommonFields({ values, context, folded }: { values: Values; context: FormContext; folded?: boolean }) {
	const error = (name: string) => (context.problem?.field?.startsWith(name) ? fieldWords(context.problem) : null);
	const draw = () => (
		<div class="fields">
			<FieldBox label="Labels" group error={error('labels')} help="words to find it by, and for rules to name it">
				{() => (
					<MapInput
						label="Labels"
						value={values.labels ?? {}}
						onValue={(labels) => {
							values.labels = labels;
						}}
					/>
				)}
			</FieldBox>
			<FieldBox label="Notes" error={error('notes')}>
				{(ids) => (
					<textarea
						{...ids}
						rows="2"
						value={values.notes ?? ''}
						onInput={(event: Event) => {
							values.notes = (event.target as HTMLTextAreaElement).value;
						}}
					/>
				)}
			</FieldBox>
			<Switch
				label="Protected"
				help="cannot be deleted while this is set"
				checked={Boolean(values.protected)}
				onChange={(on) => {
					values.protected = on;
				}}
			/>
		</div>
	);
	return folded ? (
		<More label={words('labels, notes, protection')} open={Boolean(error('labels') ?? error('notes'))}>
			{draw}
		</More>
	) : (
		draw()
	);
}
