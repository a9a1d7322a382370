/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forms made from the fields of a kind: what the server takes is what can be entered, and what it says
 * of a value stands beside its field. A form works on a copy of the values; the caller sends it.
 */
import { type Child, h, type Root, type Self } from '../base/view';
import { exactBytes, parseBytes, words } from '../base/format';
import { things } from '../api/live';
import { type Problem, sentence } from '../api/problem';
import { type Field, hasKind, presets } from '../api/schema';
import type { Values } from '../api/types';
import { Button } from './basic';
import { Icon } from './icon';

export interface FormContext {
	project: string; // that references are looked up in
	problem: Problem | null;
	changing: boolean; // an object that is there: fixed fields are shown, not edited
	running?: boolean; // changes of some fields wait for the next start
}

interface FieldProps {
	field: Field;
	path: string; // as the server's errors say it: "spec.disks[0].size"
	values: Values;
	context: FormContext;
	label?: string;
	autofocus?: boolean;
}

let counter = 0;

/** Whether an error is about the field or something in it. */
export function concerns(problem: Problem | null, path: string): boolean {
	const field = problem?.field;
	return Boolean(field) && (field === path || field!.startsWith(`${path}.`) || field!.startsWith(`${path}[`));
}

function set(values: Values, field: Field, value: unknown): void {
	if (value === undefined || value === '') delete values[field.name];
	else values[field.name] = value;
}

/** Label, control, help and error, tied together for screen readers. */
export function FieldBox(props: {
	label: string;
	help?: string;
	error?: string | null;
	hint?: string;
	required?: boolean;
	note?: Child;
	group?: boolean;
	children: (ids: { id: string; 'aria-describedby': string | undefined; 'aria-invalid': string | undefined }) => Child;
}) {
	const id = `f${counter++}`;
	return (current: typeof props) => {
		const described = [current.help ? `${id}-help` : '', current.error ? `${id}-error` : ''].filter(Boolean).join(' ');
		const control = current.children({
			id,
			'aria-describedby': described || undefined,
			'aria-invalid': current.error ? 'true' : undefined,
		});
		const name = [
			current.label,
			current.required ? (
				<span class="required" title="required">
					<span aria-hidden="true"> *</span>
					<span class="unseen"> (required)</span>
				</span>
			) : null,
			current.note,
		];
		const below = [
			current.error ? (
				<p key="error" class="field-error" id={`${id}-error`}>
					<Icon name="warning" />
					<span>
						{sentence(current.error)}
						{current.hint ? <span class="field-hint"> {sentence(current.hint)}</span> : null}
					</span>
				</p>
			) : null,
			current.help ? (
				<p key="help" class="field-help" id={`${id}-help`}>
					{sentence(current.help)}
				</p>
			) : null,
		];
		if (current.group)
			return (
				<fieldset class={`field group${current.error ? ' wrong' : ''}`} aria-describedby={described || undefined}>
					<legend class="field-name">{name}</legend>
					{control}
					{below}
				</fieldset>
			);
		return (
			<div class={`field${current.error ? ' wrong' : ''}`}>
				<label class="field-name" for={id}>
					{name}
				</label>
				{control}
				{below}
			</div>
		);
	};
}

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

const LONG = /user-data|network-config|public-key|notes|append|script/;

/** Objects of a kind that a field may name: "NAME" here, "PROJECT/NAME" elsewhere. */
function references(field: Field, project: string): string[] {
	if (!field.ref || !hasKind(field.ref)) return [];
	return things(field.ref)
		.filter((one) => !one.deleting)
		.map((one) => (!one.project || one.project === (project || 'default') ? one.name : `${one.project}/${one.name}`));
}

function Scalar({ field, value, onValue, attributes, context, busy }: {
	field: Field;
	value: unknown;
	onValue: (value: unknown) => void;
	attributes: Values;
	context: FormContext;
	busy: boolean;
}): Root {
	const disabled = busy || undefined;
	const typed = (event: Event) => (event.target as HTMLInputElement).value;
	if (field.choices || field.ref) {
		const options = field.choices ?? references(field, context.project);
		const shown = value === undefined || value === null ? '' : String(value);
		return (
			<span class="select">
				<select
					{...attributes}
					disabled={disabled}
					value={shown}
					onChange={(event: Event) => onValue(typed(event) || undefined)}
				>
					{field.preset === undefined || field.preset === null || shown === '' ? (
						<option value="">{field.ref ? (options.length ? 'None' : `No ${words(field.ref).toLowerCase()} yet`) : 'Not set'}</option>
					) : null}
					{shown && !options.includes(shown) ? <option value={shown}>{shown}</option> : null}
					{options.map((option) => (
						<option key={option} value={option}>
							{option === '*' ? 'All (*)' : option}
						</option>
					))}
				</select>
				<Icon name="chevron" />
			</span>
		);
	}
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

function JsonInput(initial: { value: unknown; onValue: (value: unknown) => void; attributes: Values }) {
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

function emptyOf(field: Field): unknown {
	if (field.type === 'object') return presets(field.fields);
	return field.type === 'integer' || field.type === 'size' ? undefined : (field.choices?.[0] ?? '');
}

function ListInput({ field, path, values, context, busy }: FieldProps & { busy: boolean }) {
	const items: unknown[] = (values[field.name] as unknown[] | undefined) ?? [];
	const one = words(field.name).replace(/s$/, '');
	const full = items.length >= (field.maxItems ?? 64);
	const put = (now: unknown[]) => {
		values[field.name] = now;
	};
	const remove = (i: number) => (
		<Button
			label={`Remove ${one.toLowerCase()} ${i + 1}`}
			icon="close"
			iconOnly
			look="quiet"
			disabled={busy}
			onClick={() => put(items.filter((_, j) => j !== i))}
		/>
	);
	if (field.choices && field.type === 'string')
		return (
			<div class="checks">
				{field.choices.map((choice) => (
					<label class="check" key={choice}>
						<input
							type="checkbox"
							disabled={busy}
							checked={items.includes(choice)}
							onChange={(event: Event) =>
								put((event.target as HTMLInputElement).checked ? [...items, choice] : items.filter((item) => item !== choice))
							}
						/>
						<span>{choice}</span>
					</label>
				))}
			</div>
		);
	return (
		<div class="items">
			{items.map((item, i) =>
				field.type === 'object' ? (
					<div class="item" key={i} role="group" aria-label={`${one} ${i + 1}`}>
						<div class="item-fields">
							<Fields fields={field.fields} path={`${path}[${i}]`} values={item as Values} context={{ ...context, changing: context.changing && busy }} />
						</div>
						{remove(i)}
					</div>
				) : (
					<div class="pair one" key={i}>
						<Scalar
							field={field}
							value={item}
							busy={busy}
							context={context}
							attributes={{ 'aria-label': `${one} ${i + 1}`, 'aria-invalid': concerns(context.problem, `${path}[${i}]`) ? 'true' : undefined }}
							onValue={(value) => put(items.map((other, j) => (j === i ? (value ?? '') : other)))}
						/>
						{remove(i)}
					</div>
				),
			)}
			{busy || full ? null : (
				<Button label={`Add ${/^[A-Z]{2}/.test(one) ? one : one.toLowerCase()}`} icon="plus" small onClick={() => put([...items, emptyOf(field)])} />
			)}
		</div>
	);
}

export function FormField(props: FieldProps) {
	const { field, path, values, context } = props;
	const label = props.label ?? words(field.name);
	const busy = field.fixed && context.changing;
	const problem = context.problem;
	const exact = problem?.field === path || (concerns(problem, path) && field.type !== 'object');
	const error = exact ? problem!.message : null;
	const note = busy ? (
		<span class="field-note" title="Given when it was made, and never changed">
			<Icon name="lock" /> fixed
		</span>
	) : context.running && !field.live && !busy ? (
		<span class="field-note" title="A running machine takes it when it is started the next time">
			at next start
		</span>
	) : null;
	if (field.type === 'boolean' && !field.list)
		return (
			<Switch
				label={[label, ' ', note]}
				checked={Boolean(values[field.name] ?? field.preset)}
				disabled={busy}
				help={field.help}
				error={error}
				onChange={(on) => {
					values[field.name] = on;
				}}
			/>
		);
	// A word alone, such as "RAM", says no more than the label.
	const help = field.help.includes(' ') ? field.help : '';
	const box = { label, help, error, hint: problem?.hint ?? '', required: field.required && !busy, note };
	if (field.list)
		return (
			<FieldBox {...box} group>
				{() => <ListInput {...props} busy={busy} />}
			</FieldBox>
		);
	if (field.type === 'object')
		return (
			<FieldBox {...box} group>
				{() => {
					values[field.name] ??= {};
					return (
						<div class="nested">
							<Fields fields={field.fields} path={path} values={values[field.name] as Values} context={context} />
						</div>
					);
				}}
			</FieldBox>
		);
	if (field.type === 'map')
		return (
			<FieldBox {...box} group>
				{() => (
					<MapInput
						label={label}
						disabled={busy}
						value={(values[field.name] as Record<string, string>) ?? {}}
						onValue={(value) => {
							values[field.name] = value;
						}}
					/>
				)}
			</FieldBox>
		);
	return (
		<FieldBox {...box}>
			{(ids) =>
				field.type === 'any' ? (
					<JsonInput value={values[field.name]} attributes={ids} onValue={(value) => set(values, field, value)} />
				) : (
					<Scalar
						field={field}
						value={values[field.name]}
						busy={busy}
						context={context}
						attributes={{ ...ids, autofocus: props.autofocus }}
						onValue={(value) => set(values, field, value)}
					/>
				)
			}
		</FieldBox>
	);
}

/** Several fields; those that have a preset come behind "More settings" unless they are named in `first`. */
export function Fields({ fields, path, values, context, first, fold }: {
	fields: Field[];
	path: string;
	values: Values;
	context: FormContext;
	first?: string[];
	fold?: boolean;
}) {
	const draw = (field: Field) => <FormField key={field.name} field={field} path={`${path}.${field.name}`} values={values} context={context} />;
	if (!fold) return <div class="fields">{fields.map(draw)}</div>;
	const front = fields.filter((field) => field.required || first?.includes(field.name));
	const rest = fields.filter((field) => !front.includes(field));
	return (
		<div class="fields">
			{front.map(draw)}
			{rest.length ? (
				<More open={rest.some((field) => concerns(context.problem, `${path}.${field.name}`)) || !front.length}>
					{() => <div class="fields">{rest.map(draw)}</div>}
				</More>
			) : null}
		</div>
	);
}

/** A part of a form that is folded away until it is wanted. */
export function More(initial: { open?: boolean; label?: string; children: () => Child }, _: Self) {
	let isOpen = initial.open ?? false;
	return ({ open, label = 'More settings', children }: typeof initial) => {
		if (open) isOpen = true;
		return (
			<details
				class="more"
				open={isOpen}
				onToggle={(event: Event) => {
					isOpen = (event.target as HTMLDetailsElement).open;
				}}
			>
				<summary>
					<Icon name="right" />
					{label}
				</summary>
				{isOpen ? children() : null}
			</details>
		);
	};
}
