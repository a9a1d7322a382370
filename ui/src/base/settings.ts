/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person chose for this browser: theme, project, columns of lists. Nothing secret. */
import { redraw } from './view';

function read(name: string): string | null {
	try {
		return localStorage.getItem(`cella.${name}`);
	} catch {
		return null; // storage may be switched off
	}
}

function write(name: string, value: string | null): void {
	try {
		if (value === null) localStorage.removeItem(`cella.${name}`);
		else localStorage.setItem(`cella.${name}`, value);
	} catch {
		// then it holds until the page is closed
	}
}

export type Theme = 'auto' | 'light' | 'dark';

let theme: Theme = (read('theme') as Theme | null) ?? 'auto';
const dark = matchMedia('(prefers-color-scheme: dark)');

function applyTheme(): void {
	const name = theme === 'auto' ? (dark.matches ? 'dark' : 'light') : theme;
	document.documentElement.dataset.theme = name;
	document.querySelector('meta[name=theme-color]')?.setAttribute('content', name === 'dark' ? '#0f1216' : '#ffffff');
}

export function startTheme(): void {
	dark.addEventListener('change', applyTheme);
	applyTheme();
}

export function chosenTheme(): Theme {
	return theme;
}

export function chooseTheme(name: Theme): void {
	theme = name;
	write('theme', name === 'auto' ? null : name);
	applyTheme();
	redraw();
}

let project = read('project') ?? '';

/** The project that lists are narrowed to, "": all. */
export function chosenProject(): string {
	return project;
}

export function chooseProject(name: string): void {
	project = name;
	write('project', name || null);
	redraw();
}

const columns = new Map<string, Record<string, boolean>>();

/** Of a list the columns that a person has switched on or off; the others are as preset. */
export function chosenColumns(list: string): Record<string, boolean> {
	let chosen = columns.get(list);
	if (!chosen) {
		chosen = {};
		// "status.node -spec.cpus": this one on, that one off.
		for (const word of (read(`columns.${list}`) ?? '').split(' ').filter(Boolean)) chosen[word.replace(/^-/, '')] = !word.startsWith('-');
		columns.set(list, chosen);
	}
	return chosen;
}

export function chooseColumn(list: string, column: string, on: boolean): void {
	const chosen = { ...chosenColumns(list), [column]: on };
	columns.set(list, chosen);
	write(`columns.${list}`, Object.entries(chosen).map(([name, shown]) => (shown ? name : `-${name}`)).join(' '));
	redraw();
}

export function presetColumns(list: string): void {
	columns.set(list, {});
	write(`columns.${list}`, null);
	redraw();
}
