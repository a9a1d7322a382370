/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person chose for this browser: theme, project, and the like. Nothing secret. */
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
