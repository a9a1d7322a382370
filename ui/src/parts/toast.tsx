/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short messages at the edge of the page: what was done, or why it was not. */
import { h, redraw, type Root } from '../base/view';
import { sentence } from '../base/format';
import { problemOf } from '../api/problem';
import { Button } from './basic';
import { Icon } from './icon';

interface Toast {
	id: number;
	mood: 'good' | 'bad' | 'info';
	title: string;
	text: string;
	href?: string;
}

let toasts: Toast[] = [];
let next = 1;

function dismiss(id: number): void {
	toasts = toasts.filter((toast) => toast.id !== id);
	redraw();
}

export function say(mood: Toast['mood'], title: string, text = '', href?: string): void {
	const toast: Toast = { id: next++, mood, title, text };
	if (href) toast.href = href;
	toasts = [...toasts, toast].slice(-4);
	// What went wrong stays until it was read.
	if (mood !== 'bad') setTimeout(() => dismiss(toast.id), 5000);
	redraw();
}

export function complain(error: unknown, title?: string): void {
	const problem = problemOf(error);
	if (problem.status === 401) return;
	const text = [title ? sentence(problem.message) : '', problem.hint ? sentence(problem.hint) : ''].filter(Boolean).join('. ');
	say('bad', title ?? sentence(problem.message), text);
}

export function Toasts(): Root {
	return (
		<div class="toasts" role="region" aria-label="Messages" aria-live="polite">
			{toasts.map((toast) => (
				<div key={toast.id} class={`toast ${toast.mood}`} role={toast.mood === 'bad' ? 'alert' : undefined}>
					<Icon name={toast.mood === 'good' ? 'check' : toast.mood === 'bad' ? 'warning' : 'info'} />
					<div class="grow">
						{toast.href ? <a href={toast.href}>{toast.title}</a> : <strong>{toast.title}</strong>}
						{toast.text ? <div class="muted">{toast.text}</div> : null}
					</div>
					<Button label="Dismiss" icon="close" iconOnly small look="quiet" onClick={() => dismiss(toast.id)} />
				</div>
			))}
		</div>
	);
}
