/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that do something on every page. They rest while somebody types, and while a dialog is open. */
import { go } from '../base/router';
import { anyDialog } from './dialog';

export interface Shortcut {
	keys: string; // "g v", "?", "Ctrl K"
	words: string;
	run: () => void;
}

const shortcuts: Shortcut[] = [];
let started = '';
let timer = 0;

export function allShortcuts(): Shortcut[] {
	return shortcuts;
}

export function shortcut(keys: string, words: string, run: (() => void) | string): void {
	shortcuts.push({ keys, words, run: typeof run === 'string' ? () => go(run) : run });
}

function typing(target: EventTarget | null): boolean {
	return target instanceof HTMLElement && target.closest('input:not([type=checkbox]), textarea, select, .xterm, [role=menu]') !== null;
}

export function startKeys(): void {
	addEventListener('keydown', (event) => {
		if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
			if (event.target instanceof HTMLElement && event.target.closest('.xterm')) return;
			event.preventDefault();
			shortcuts.find((one) => one.keys === 'Ctrl K')?.run();
			return;
		}
		if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || anyDialog() || event.key.length !== 1) return;
		const keys = started ? `${started} ${event.key}` : event.key;
		clearTimeout(timer);
		started = '';
		const found = shortcuts.find((one) => one.keys === keys);
		if (found) {
			event.preventDefault();
			found.run();
		} else if (shortcuts.some((one) => one.keys.startsWith(`${keys} `))) {
			started = keys;
			timer = window.setTimeout(() => {
				started = '';
			}, 1200);
		}
	});
}
