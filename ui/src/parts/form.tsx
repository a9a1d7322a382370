/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forms made from the fields of a kind: what the server takes is what can be entered, and what it says
 * of a value stands beside its field. A form works on a copy of the values; the caller sends it.
 */
import { type Child, h, type Self } from '../base/view';
import { sentence, words } from '../base/format';
import type { Problem } from '../api/problem';
import { type Field, presets } from '../api/schema';
import type { Values } from '../api/types';
import { Button } from './basic';
import { Icon } from './icon';
import { JsonInput, MapInput, Scalar, Switch } from './inputs';

export interface FormContext {
	project: string; // that references are looked up in
	problem: Problem | null;
	changing: boolean; // an object that is there: fixed fields are shown, not edited
	running?: boolean; // changes of some fields wait for the next start
	instead?: string[]; // what may stand in place of any value, such as "${memory}"
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

/** What is wrong, without the name of the field that it stands beside: "spec: 'memory': must be …". */
export function fieldWords(problem: Problem): string {
	return problem.message.replace(/^(spec|labels|notes|params)[^:]*: ('[^']*': )*/, '');
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
	const error = exact ? fieldWords(problem!) : null;
	const note = busy ? (
		<span class="field-note" title="Given when it was made, and never changed">
			<Icon name="lock" /> fixed
		</span>
	) : context.running && !field.live && !busy ? (
		<span class="field-note" title="A running machine takes it when it is started the next time">
			at next start
		</span>
	) : null;
	if (field.type === 'boolean' && !field.list && !context.instead)
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
	const help = field.help.includes(' ') && field.help.toLowerCase() !== label.toLowerCase() ? field.help : '';
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
	let wasOpen = isOpen;
	return ({ open, label = 'More settings', children }: typeof initial) => {
		if (open && !wasOpen) isOpen = true;
		wasOpen = open ?? false;
		return (
			<details class="more" open={isOpen}>
				<summary
					onClick={(event: Event) => {
						// By itself it would open before it says so, and be closed by what is drawn meanwhile.
						event.preventDefault();
						isOpen = !isOpen;
					}}
				>
					<Icon name="right" />
					{label}
				</summary>
				{isOpen ? children() : null}
			</details>
		);
	};
}
