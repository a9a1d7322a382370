/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates: the form of a VM in which parameters may stand for values, and the one that asks for these
 * when a VM is made. What a form cannot show is edited as it is sent.
 */
import { attempts } from '../base/attempt';
import { h } from '../base/view';
import { act } from '../api/change';
import { Problem } from '../api/problem';
import { type Field, fieldAt, type FieldType, kindOf } from '../api/schema';
import type { Thing, Values } from '../api/types';
import { Button, ProblemNotice } from '../parts/basic';
import { openDialog } from '../parts/dialog';
import { Fields, type FormContext, FormField } from '../parts/form';
import { NameField, nameProblem } from '../parts/identity';
import { Switch } from '../parts/inputs';
import { hrefOf } from '../parts/link';
import { say } from '../parts/toast';

const FIRST = ['image', 'disk-size', 'cpus', 'memory', 'nets', 'cloud-init'];

/** Whether each value is where its field can show it. */
export function fitsForm(fields: Field[], values: unknown): boolean {
	if (typeof values !== 'object' || values === null || Array.isArray(values)) return false;
	return Object.entries(values as Values).every(([name, value]) => {
		const field = fields.find((one) => one.name === name);
		if (!field || value === null) return false;
		const items: unknown[] = field.list ? (Array.isArray(value) ? value : [null]) : [value];
		return items.every((item) => (field.type === 'object' ? fitsForm(field.fields, item) : item !== null && (field.type === 'map' || typeof item !== 'object')));
	});
}

/** Without what a form leaves behind: objects that nothing was entered into. */
export function withoutEmpty(value: unknown): unknown {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
	const kept = Object.entries(value as Values)
		.map(([name, one]) => [name, withoutEmpty(one)] as const)
		.filter(([, one]) => one !== undefined && !(typeof one === 'object' && one !== null && !Array.isArray(one) && !Object.keys(one).length));
	return Object.fromEntries(kept);
}

export function TemplateFields(initial: { fields: Field[]; values: Values; context: FormContext }) {
	const machine = kindOf('vm').spec.filter((field) => field.name !== 'running');
	let asText = initial.values.vm !== undefined && !fitsForm(machine, initial.values.vm);
	return ({ fields, values, context }: typeof initial) => {
		const vm = fieldAt(fields, 'vm')!;
		const names = ((values.parameters ?? []) as Values[]).map((one) => one.name as string).filter(Boolean);
		const instead = ['name', ...names].map((name) => `\${${name}}`);
		const fits = fitsForm(machine, values.vm ?? {});
		return (
			<div class="fields">
				{fields
					.filter((field) => field !== vm)
					.map((field) => (
						<FormField key={field.name} field={field} path={`spec.${field.name}`} values={values} context={context} />
					))}
				<fieldset class="field group">
					<legend class="field-name">Machine</legend>
					<div class="row wrap">
						<p class="field-help grow">
							In place of a value or in a text: {instead.map((word, i) => [i ? ', ' : '', <code key={word}>{word}</code>])}
						</p>
						<div class="segments" role="group" aria-label="How the machine is edited">
							{[false, true].map((text) => (
								<button
									key={String(text)}
									type="button"
									aria-pressed={String(asText === text)}
									disabled={!text && !fits}
									title={!text && !fits ? 'There is more in it than a form can show' : undefined}
									onClick={() => {
										values.vm = withoutEmpty(values.vm ?? {});
										asText = text;
									}}
								>
									{text ? 'JSON' : 'Form'}
								</button>
							))}
						</div>
					</div>
					{asText ? (
						<FormField key="text" field={vm} path="spec.vm" values={values} context={context} label="Spec" />
					) : (
						<Fields key="form" fields={machine} path="spec.vm" values={(values.vm ??= {}) as Values} context={{ ...context, changing: false, instead }} first={FIRST} fold />
					)}
				</fieldset>
			</div>
		);
	};
}

const TYPES: Record<string, FieldType> = { string: 'string', integer: 'integer', size: 'size', boolean: 'boolean' };

/** A parameter as a field: what is asked for when a VM is made. */
function fieldOfParameter(parameter: Values): Field {
	const text = parameter.default as string | undefined;
	const type = TYPES[parameter.type as string] ?? 'string';
	const field: Field = { name: parameter.name, type, list: false, required: text === undefined, fixed: false, live: false, secret: false, help: parameter.help ?? '', fields: [] };
	if (text !== undefined) field.preset = type === 'boolean' ? text === 'true' : text;
	return field;
}

function Instantiate(initial: { template: Thing; close: () => void }) {
	const { template, close } = initial;
	const fields = ((template.spec.parameters ?? []) as Values[]).map(fieldOfParameter);
	const values: Values = { name: '', start: true };
	const parameters: Values = {};
	const attempt = attempts();
	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			const missing = fields.find((field) => field.required && field.type !== 'boolean' && parameters[field.name] === undefined);
			if (missing) throw new Problem(400, 'invalid', 'it needs a value', '', `params.${missing.name}`);
			// Its values are texts, whatever their type.
			const texts: Values = {};
			for (const field of fields) {
				const value = parameters[field.name] ?? (field.type === 'boolean' && field.required ? false : undefined);
				if (value !== undefined) texts[field.name] = String(value);
			}
			await act(template, 'instantiate', { ...values, parameters: texts });
			say('good', `${values.name} is being made`, '', hrefOf('vm', template.project, values.name));
			close();
		});
	};
	return () => {
		const context = { project: template.project ?? '', problem: attempt.problem, changing: false };
		return (
			<form onSubmit={submit} novalidate>
				<h2>Create VM from {template.name}</h2>
				{attempt.problem && !/^(name|params)/.test(attempt.problem.field) ? <ProblemNotice problem={attempt.problem} /> : null}
				<div class="fields">
					<NameField values={values} context={context} autofocus />
					<Fields fields={fields} path="params" values={parameters} context={context} />
					<Switch
						label="Start it at once"
						checked={values.start}
						onChange={(on) => {
							values.start = on;
						}}
					/>
				</div>
				<div class="dialog-actions">
					<Button label="Cancel" onClick={close} />
					<Button label="Create VM" type="submit" look="primary" busy={attempt.busy} disabled={!values.name || nameProblem(values.name) !== null} />
				</div>
			</form>
		);
	};
}

export function openInstantiate(template: Thing): void {
	openDialog(`Create VM from ${template.name}`, (close) => <Instantiate template={template} close={close} />);
}
