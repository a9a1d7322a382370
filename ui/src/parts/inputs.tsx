/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a value is entered with, by its type. */
import { type Child, h, type Root } from '../base/view';
import { exactBytes, parseBytes, sentence, words } from '../base/format';
import { things } from '../api/live';
import { type Field, hasKind } from '../api/schema';
import type { Values } from '../api/types';
import { Button } from './basic';
import type { FormContext } from './form';
import { Icon } from './icon';

export function SizeInput(_: { value: number | string | undefined; onValue: (value: number | string | undefined) => void; attributes: Values; placeholder: string }) {
	let typed: string | null = null;
	return ({ value, onValue, attributes, placeholder }: typeof _) => (
		<input
			{...attributes}
			inputmode="decimal"
			autocomplete="off"
			placeholder={placeholder}
			value={typed ?? (typeof value === 'number' ? exactBytes(value) : (value ?? ''))}
			onInput={(event: InputEvent) => {
				typed = (event.target as HTMLInputElement).value;
				const parsed = parseBytes(typed);
				// What is no size goes to the server as it is, and comes back with its words.
				onValue(typed === '' ? undefined : (parsed ?? typed));
			}}
			onBlur={() => {
				typed = null;
			}}
		/>
	);
}

/** What is no number goes to the server as it is, and comes back with its words. */
export function numberOf(text: string): number | string | undefined {
	if (text.trim() === '') return undefined;
	const value = Number(text);
	return Number.isFinite(value) ? value : text;
}

/** One of a few; "" is none of them. */
export function Select({ attributes, value, none, options, onValue }: {
	attributes: Values;
	value: string;
	none?: string | undefined; // words for ""
	options: [string, string][]; // value, words
	onValue: (value: string) => void;
}) {
	return (
		<span class="select">
			<select {...attributes} value={value} onChange={(event: Event) => onValue((event.target as HTMLSelectElement).value)}>
				{none === undefined ? null : <option value="">{none}</option>}
				{value && !options.some(([one]) => one === value) ? <option value={value}>{value}</option> : null}
				{options.map(([one, title]) => (
					<option key={one} value={one}>
						{title}
					</option>
				))}
			</select>
			<Icon name="chevron" />
		</span>
	);
}

const LONG = /user-data|network-config|public-key|notes|append|script/;

/** Objects of a kind that a field may name: "NAME" here, "PROJECT/NAME" elsewhere. */
function references(field: Field, project: string): string[] {
	if (!field.ref || !hasKind(field.ref)) return [];
	return things(field.ref)
		.filter((one) => !one.deleting)
		.map((one) => (!one.project || one.project === (project || 'default') ? one.name : `${one.project}/${one.name}`));
}

export function Scalar({ field, value, onValue, attributes, context, busy }: {
	field: Field;
	value: unknown;
	onValue: (value: unknown) => void;
	attributes: Values;
	context: FormContext;
	busy: boolean;
}): Root {
	const disabled = busy || undefined;
	const typed = (event: Event) => (event.target as HTMLInputElement).value;
	const instead = context.instead ?? [];
	if (field.choices || field.ref) {
		const options = [...(field.choices ?? references(field, context.project)), ...instead];
		const shown = value === undefined || value === null ? '' : String(value);
		const none = field.ref ? (options.length ? 'None' : `No ${words(field.ref).toLowerCase()} yet`) : 'Not set';
		return (
			<Select
				attributes={{ ...attributes, disabled }}
				value={shown}
				none={field.preset === undefined || field.preset === null || shown === '' ? none : undefined}
				options={options.map((option) => [option, option === '*' ? 'All (*)' : option])}
				onValue={(chosen) => onValue(chosen || undefined)}
			/>
		);
	}
	if (field.type === 'boolean')
		return (
			<Select
				attributes={{ ...attributes, disabled }}
				value={value === undefined ? '' : String(value)}
				none="Not set"
				options={[['true', 'Yes'], ['false', 'No'], ...instead.map((one): [string, string] => [one, one])]}
				onValue={(chosen) => onValue(chosen === '' ? undefined : chosen === 'true' ? true : chosen === 'false' ? false : chosen)}
			/>
		);
	if (field.type === 'size')
		return (
			<SizeInput
				value={value as number | undefined}
				onValue={onValue}
				attributes={{ ...attributes, disabled, class: 'short' }}
				placeholder={typeof field.preset === 'number' ? exactBytes(field.preset) : 'such as 20 GiB'}
			/>
		);
	if (field.type === 'integer')
		return (
			<input
				{...attributes}
				class="short"
				disabled={disabled}
				inputmode="numeric"
				autocomplete="off"
				placeholder={field.preset === undefined ? '' : String(field.preset)}
				value={value ?? ''}
				onInput={(event: Event) => onValue(numberOf(typed(event)))}
			/>
		);
	if (LONG.test(field.name) && (field.max ?? 0) > 1024)
		return (
			<textarea
				{...attributes}
				class="mono"
				rows="4"
				spellcheck="false"
				disabled={disabled}
				value={value ?? ''}
				onInput={(event: Event) => onValue(typed(event) || undefined)}
			/>
		);
	return (
		<input
			{...attributes}
			type={field.secret ? 'password' : 'text'}
			autocomplete={field.secret ? 'new-password' : 'off'}
			spellcheck="false"
			disabled={disabled}
			placeholder={field.secret && context.changing ? 'unchanged' : field.preset === undefined ? '' : String(field.preset)}
			value={value ?? ''}
			onInput={(event: Event) => onValue(typed(event) || undefined)}
		/>
	);
}

export function Switch({ label, checked, onChange, disabled, help, error }: {
	label: Child;
	checked: boolean;
	onChange: (on: boolean) => void;
	disabled?: boolean | undefined;
	help?: string | undefined;
	error?: string | null | undefined;
}) {
	return (
		<div class={`field${error ? ' wrong' : ''}`}>
			<label class="check">
				<input
					type="checkbox"
					checked={checked}
					disabled={disabled}
					onChange={(event: Event) => onChange((event.target as HTMLInputElement).checked)}
				/>
				<span>
					{label}
					{help ? <span class="field-help">{sentence(help)}</span> : null}
				</span>
			</label>
			{error ? <p class="field-error">{sentence(error)}</p> : null}
		</div>
	);
}

export function MapInput(initial: { value: Record<string, string>; onValue: (value: Record<string, string>) => void; label: string; disabled?: boolean }) {
	// Rows of their own: a name that is being typed may be empty or twice there for a while.
	let rows: [string, string][] = Object.entries(initial.value ?? {});
	const give = (onValue: typeof initial.onValue) => onValue(Object.fromEntries(rows.filter(([name]) => name)));
	return ({ onValue, label, disabled }: typeof initial) => (
		<div class="pairs">
			{rows.map(([name, value], i) => (
				<div class="pair" key={i}>
					<input
						aria-label={`${label}: name ${i + 1}`}
						placeholder="name"
						spellcheck="false"
						disabled={disabled}
						value={name}
						onInput={(event: Event) => {
							rows[i] = [(event.target as HTMLInputElement).value.trim(), rows[i]![1]];
							give(onValue);
						}}
					/>
					<input
						aria-label={`${label}: value ${i + 1}`}
						placeholder="value"
						spellcheck="false"
						disabled={disabled}
						value={value}
						onInput={(event: Event) => {
							rows[i] = [rows[i]![0], (event.target as HTMLInputElement).value];
							give(onValue);
						}}
					/>
					<Button label={`Remove ${name || 'this row'}`} icon="close" iconOnly look="quiet" disabled={disabled ?? false} onClick={() => {
						rows = rows.filter((_, j) => j !== i);
						give(onValue);
					}} />
				</div>
			))}
			<Button label="Add" icon="plus" small disabled={disabled ?? false} onClick={() => {
				rows = [...rows, ['', '']];
			}} />
		</div>
	);
}

export function JsonInput(initial: { value: unknown; onValue: (value: unknown) => void; attributes: Values }) {
	let typed = initial.value === undefined ? '' : JSON.stringify(initial.value, null, 2);
	let wrong = false;
	return ({ onValue, attributes }: typeof initial) => (
		<div>
			<textarea
				{...attributes}
				class="mono"
				rows="8"
				spellcheck="false"
				value={typed}
				onInput={(event: Event) => {
					typed = (event.target as HTMLTextAreaElement).value;
					try {
						onValue(typed.trim() ? JSON.parse(typed) : undefined);
						wrong = false;
					} catch {
						wrong = true;
					}
				}}
			/>
			{wrong ? <p class="field-error">This is not JSON yet</p> : null}
		</div>
	);
}
