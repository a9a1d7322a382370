/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address of what is shown, behind the '#': "/vms/default/web1?tab=console". */
import { redraw } from './view';

export interface Route {
	path: string[];
	query: URLSearchParams;
}

let leaving: (() => string | null) | null = null;
let shown = location.hash;

function parse(): Route {
	const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
	return { path: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

let current = parse();

export function route(): Route {
	return current;
}

/** '#/vms/default/web1' from its parts. */
export function link(...parts: string[]): string {
	return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(to: string, instead = false): void {
	if (instead) location.replace(to);
	else location.hash = to;
}

/** Changes the query of the address without a step in the history. */
export function setQuery(changes: Record<string, string | null>): void {
	const query = new URLSearchParams(current.query);
	for (const [name, value] of Object.entries(changes)) {
		if (value) query.set(name, value);
		else query.delete(name);
	}
	const text = query.toString();
	history.replaceState(null, '', link(...current.path) + (text ? `?${text}` : ''));
	shown = location.hash;
	current = parse();
	redraw();
}

/** Asks before the page is left while `question` has words; null: no more. */
export function guard(question: (() => string | null) | null): void {
	leaving = question;
}

export function startRouter(changed: () => void): void {
	addEventListener('hashchange', () => {
		const words = leaving?.();
		if (words && !confirm(words)) {
			history.replaceState(null, '', shown);
			return;
		}
		leaving = null;
		shown = location.hash;
		current = parse();
		changed();
		redraw();
	});
	addEventListener('beforeunload', (event) => {
		if (leaving?.()) event.preventDefault();
	});
}
