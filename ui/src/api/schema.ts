/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of objects, as the server describes them in /v1/openapi.json: their fields, actions and
 * columns. Forms, tables and pages of details are made from these, so a new field needs no change here.
 */
import { send } from './client';
import type { Values } from './types';

export type FieldType = 'string' | 'integer' | 'size' | 'boolean' | 'object' | 'map' | 'any';

export interface Field {
	name: string;
	type: FieldType;
	list: boolean;
	required: boolean;
	min?: number;
	max?: number;
	multiple?: number;
	maxItems?: number;
	choices?: string[];
	preset?: unknown;
	ref?: string;
	fixed: boolean;
	live: boolean;
	secret: boolean;
	help: string;
	fields: Field[];
}

export interface Action {
	name: string;
	verb: string;
	operation: boolean;
	help: string;
	params: Field[];
}

export interface Column {
	title: string;
	path: string;
	format: 'text' | 'bytes' | 'time' | 'percent' | 'yesno';
	wide: boolean;
}

export interface Kind {
	name: string;
	plural: string;
	help: string;
	scope: 'server' | 'project';
	internal: boolean;
	spec: Field[];
	status: Field[];
	actions: Action[];
	columns: Column[];
}

let kinds = new Map<string, Kind>();

export function allKinds(): Kind[] {
	return [...kinds.values()];
}

export function hasKind(name: string): boolean {
	return kinds.has(name);
}

export function kindOf(name: string): Kind {
	const found = kinds.get(name);
	if (!found) throw new Error(`the server has no kind '${name}'`);
	return found;
}

/** The field under "cloud-init.user". */
export function fieldAt(fields: Field[], path: string): Field | undefined {
	const [first, ...rest] = path.split('.');
	const found = fields.find((field) => field.name === first);
	return !found || !rest.length ? found : fieldAt(found.fields, rest.join('.'));
}

export function presets(fields: Field[]): Values {
	const values: Values = {};
	for (const field of fields) if (field.preset !== undefined) values[field.name] = JSON.parse(JSON.stringify(field.preset));
	return values;
}

export async function loadSchema(): Promise<void> {
	if (kinds.size) return;
	const { body } = await send('GET', '/v1/openapi.json');
	kinds = new Map(kindsOf(body).map((kind) => [kind.name, kind]));
}

// ---- from OpenAPI 3.1 ----

function fieldOf(name: string, schema: Values, required: boolean): Field {
	const list = schema.type === 'array';
	const one: Values = list ? (schema.items ?? {}) : schema;
	const type: FieldType =
		one.type === 'integer' || one.type === 'number'
			? one.format === 'bytes'
				? 'size'
				: 'integer'
			: one.type === 'boolean'
				? 'boolean'
				: one.type === 'object'
					? one.properties
						? 'object'
						: one.additionalProperties
							? 'map'
							: 'any'
					: 'string';
	const field: Field = {
		name,
		type,
		list,
		required,
		fixed: schema['x-fixed'] === true,
		live: schema['x-live'] === true,
		secret: schema.writeOnly === true,
		help: schema.description ?? '',
		fields: fieldsOf(one),
	};
	const min = type === 'string' ? one.minLength : one.minimum;
	const max = type === 'string' ? one.maxLength : one.maximum;
	if (min !== undefined) field.min = min;
	if (max !== undefined) field.max = max;
	if (one.multipleOf !== undefined) field.multiple = one.multipleOf;
	if (schema.maxItems !== undefined) field.maxItems = schema.maxItems;
	if (one.enum) field.choices = one.enum;
	if (schema.default !== undefined) field.preset = schema.default;
	if (schema['x-ref']) field.ref = schema['x-ref'];
	return field;
}

function fieldsOf(schema: Values | undefined): Field[] {
	const required: string[] = schema?.required ?? [];
	return Object.entries((schema?.properties ?? {}) as Record<string, Values>)
		.filter(([, one]) => one.readOnly !== true)
		.map(([name, one]) => fieldOf(name, one, required.includes(name)));
}

function actionsOf(document: Values, plural: string): Action[] {
	const schemas: Values = document.components.schemas;
	const actions: Action[] = [];
	for (const [path, item] of Object.entries(document.paths as Record<string, Values>)) {
		const found = new RegExp(`/${plural}/\\{name\\}/actions/([^/]+)$`).exec(path);
		const post = item.post as Values | undefined;
		if (!found || !post) continue;
		const reference: string = post.requestBody?.content?.['application/json']?.schema?.$ref ?? '';
		actions.push({
			name: found[1]!,
			verb: post['x-verb'] ?? 'operate',
			operation: Boolean(post.responses?.['202']),
			help: post.summary ?? '',
			params: reference ? fieldsOf(schemas[reference.split('/').at(-1)!]) : [],
		});
	}
	return actions;
}

/** The kinds of a document: those whose collection has a path. */
export function kindsOf(document: Values): Kind[] {
	const found: Kind[] = [];
	for (const [path, item] of Object.entries(document.paths as Record<string, Values>)) {
		const parts = /^\/v1\/(projects\/\{project\}\/)?([a-z-]+)\/\{name\}$/.exec(path);
		const tag: string | undefined = item.get?.operationId;
		if (!parts || !tag) continue;
		const name = tag.replace(/-show$/, '');
		const schema: Values | undefined = document.components.schemas[name];
		if (!schema?.properties?.spec) continue;
		found.push({
			name,
			plural: parts[2]!,
			help: schema.description ?? '',
			scope: parts[1] ? 'project' : 'server',
			internal: !item.patch,
			spec: fieldsOf(schema.properties.spec),
			status: fieldsOf({ ...schema.properties.status, readOnly: false }),
			actions: actionsOf(document, parts[2]!),
			columns: schema['x-columns'] ?? [],
		});
	}
	return found;
}
