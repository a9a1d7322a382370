/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the API of the server that the page came from. */
import { Problem } from './problem';
import type { Thing, Values } from './types';

export interface Options {
	body?: unknown;
	match?: number; // the revision that the change is meant for
	headers?: Record<string, string>;
	signal?: AbortSignal;
	patch?: boolean;
}

export interface Answer<T> {
	status: number;
	headers: Headers;
	body: T; // {}: what came is no JSON
	text: string;
}

let unauthenticated: () => void = () => {};

/** Calls `call` when an answer says that nobody is signed in. */
export function onUnauthenticated(call: () => void): void {
	unauthenticated = call;
}

export async function send<T = Values>(method: string, path: string, options: Options = {}): Promise<Answer<T>> {
	const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
	if (options.body !== undefined && !(options.body instanceof Blob))
		headers['content-type'] = options.patch ? 'application/merge-patch+json' : 'application/json';
	if (options.match !== undefined) headers['if-match'] = `"${options.match}"`;
	// A repeated request must not be carried out twice.
	if (method === 'POST') headers['idempotency-key'] = crypto.randomUUID?.() ?? randomId();
	const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
	if (options.signal) init.signal = options.signal;
	if (options.body !== undefined) init.body = options.body instanceof Blob ? options.body : JSON.stringify(options.body);
	const response = await fetch(path, init);
	const content = await response.text();
	let body: Values = {};
	try {
		if (content) body = JSON.parse(content) as Values;
	} catch {
		body = {};
	}
	if (!response.ok) {
		// A wrong password is no session that has ended.
		if (response.status === 401 && (method === 'GET' || path !== '/v1/session')) unauthenticated();
		const error = (body.error ?? {}) as Values;
		throw new Problem(
			response.status,
			error.code ?? 'internal',
			error.message ?? `The server answered ${response.status} ${response.statusText}`,
			error.hint,
			error.field,
		);
	}
	return { status: response.status, headers: response.headers, body: body as T, text: content };
}

// Where the page came over plain HTTP there is no randomUUID().
function randomId(): string {
	const numbers = crypto.getRandomValues(new Uint8Array(16));
	return Array.from(numbers, (number) => number.toString(16).padStart(2, '0')).join('');
}

export interface Page {
	items: Thing[];
	next?: string | null;
	revision?: number;
}

export interface KindPath {
	plural: string;
	scope: 'server' | 'project';
}

export function pathOf(kind: KindPath, project: string | undefined, name?: string): string {
	const base = kind.scope === 'project' ? `/v1/projects/${encodeURIComponent(project || 'default')}/` : '/v1/';
	return base + kind.plural + (name === undefined ? '' : `/${encodeURIComponent(name)}`);
}
