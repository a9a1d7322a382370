/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of objects as a page shows them, by the fields of their kind. */
import { h, type Root } from '../base/view';
import { bytes, percent, words } from '../base/format';
import type { Column, Field } from '../api/schema';
import { type Thing, type Values, valueAt } from '../api/types';
import { Dash, Labels, State, When } from './basic';
import { RefLink } from './link';

const TIMES = /^(since|started|created|expires|ended|last-(used|sign-in))$/;
// What is below an object of one of these kinds is for people to name.
const ZERO_MEANS: [RegExp, string][] = [[/(-max|quota|limit)$/, 'no limit']];

export function FieldValue({ field, value, project, short }: { field: Field; value: unknown; project?: string | undefined; short?: boolean }): Root {
	if (value === undefined || value === null || value === '') return <Dash />;
	if (Array.isArray(value)) {
		if (!value.length) return <span class="faint">None</span>;
		if (field.type === 'object' || field.type === 'any')
			return (
				<div class="stack tight">
					{value.map((item, i) => (
						<div key={i}>{summary(item as Values, field.fields)}</div>
					))}
				</div>
			);
		return (
			<span>
				{value.map((item, i) => [i ? ', ' : '', <FieldValue key={i} field={{ ...field, list: false }} value={item} project={project} />])}
			</span>
		);
	}
	if (field.ref) return <RefLink kind={field.ref} project={project} text={value} />;
	if (field.type === 'boolean') return value ? 'Yes' : 'No';
	if (value === 0) {
		const meaning = ZERO_MEANS.find(([pattern]) => pattern.test(field.name));
		if (meaning) return <span class="muted">{meaning[1]}</span>;
	}
	if (field.type === 'size' && typeof value === 'number') return bytes(value);
	if (field.type === 'map') return Object.keys(value as object).length ? <Labels labels={value as Record<string, string>} /> : <span class="faint">None</span>;
	if (field.type === 'object' || field.type === 'any') return summary(value as Values, field.fields) || <Dash />;
	if (field.name === 'state') return <State state={String(value)} />;
	if (TIMES.test(field.name)) return <When at={String(value)} />;
	if (/sha256|fingerprint/.test(field.name) && short) return <span class="mono" title={String(value)}>{String(value).slice(0, 16)}…</span>;
	if (/path|sha256|fingerprint|mac|public-key|append|address|subnet|bridge/.test(field.name)) return <span class="mono">{String(value)}</span>;
	return String(value);
}

/** "port 8080, to 10.0.0.2": the members of an object in a line. */
export function summary(value: Values, fields: Field[]): string {
	if (typeof value !== 'object' || value === null) return String(value);
	return Object.entries(value)
		.filter(([, one]) => one !== null && one !== '' && one !== false && !(Array.isArray(one) && !one.length))
		.map(([name, one]) => {
			const field = fields.find((candidate) => candidate.name === name);
			if (one === 0) return '';
			const text = Array.isArray(one)
				? one.join(' ')
				: typeof one === 'object'
					? Object.entries(one as Values).map(([key, part]) => `${key}=${part}`).join(' ')
					: field?.type === 'size'
						? bytes(one as number)
						: String(one);
			return one === true ? words(name).toLowerCase() : `${words(name).toLowerCase()} ${text}`;
		})
		.filter(Boolean)
		.join(', ');
}

/** The cell of a column as the server describes it. */
export function ColumnValue({ column, thing, field }: { column: Column; thing: Thing; field: Field | undefined }): Root {
	const value = valueAt(thing, column.path);
	if (value === undefined || value === null || value === '') return <Dash />;
	if (column.path === 'status.state') return <State state={String(value)} />;
	if (column.format === 'bytes' && typeof value === 'number') return bytes(value);
	if (column.format === 'time') return <When at={value as string} />;
	if (column.format === 'yesno') return value ? 'Yes' : 'No';
	if (column.format === 'percent') return percent((value as number) / 100);
	if (field) return <FieldValue field={field} value={value} project={thing.project} short />;
	if (Array.isArray(value)) return String(value.length);
	return typeof value === 'object' ? <Labels labels={value as Record<string, string>} /> : String(value);
}

