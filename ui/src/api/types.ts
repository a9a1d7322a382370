/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of the API, as far as the console names their members; the rest is read by path. */

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Values = Record<string, any>;

export interface Thing {
	kind: string;
	project?: string;
	name: string;
	uid: string;
	revision: number;
	created: string;
	labels: Record<string, string>;
	notes: string;
	protected: boolean;
	deleting?: boolean;
	spec: Values;
	status: Values;
}

/** "status.progress.percent" of an object; undefined where there is none. */
export function valueAt(thing: unknown, path: string): unknown {
	let value = thing;
	for (const part of path.split('.')) {
		if (value === null || typeof value !== 'object') return undefined;
		value = (value as Values)[part];
	}
	return value;
}

export function text(value: unknown): string {
	return value === null || value === undefined ? '' : String(value);
}

/** A copy that can be changed: forms work on one. */
export function copy<T>(value: T): T {
	return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T);
}

export function equal(a: unknown, b: unknown): boolean {
	if (a === b) return true;
	if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
	if (Array.isArray(a) !== Array.isArray(b)) return false;
	const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
	for (const key of keys) if (!equal((a as Values)[key], (b as Values)[key])) return false;
	return true;
}

/** What RFC 7396 needs to make `after` of `before`; undefined: nothing differs. */
export function mergePatch(before: unknown, after: unknown): unknown {
	if (equal(before, after)) return undefined;
	const plain = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
	if (!plain(before) || !plain(after)) return after === undefined ? null : after;
	const patch: Values = {};
	for (const key of new Set([...Object.keys(before as Values), ...Object.keys(after as Values)])) {
		const change = mergePatch((before as Values)[key], (after as Values)[key]);
		if (change !== undefined) patch[key] = change;
	}
	return patch;
}
