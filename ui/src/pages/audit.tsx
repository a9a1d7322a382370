/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit log: who did what, from where, and what it changed. */
import { h, redraw, type Root, type Self } from '../base/view';
import { words } from '../base/format';
import { send } from '../api/client';
import { onChange } from '../api/live';
import { type Problem, problemOf } from '../api/problem';
import { hasKind } from '../api/schema';
import type { Values } from '../api/types';
import { Button, Empty, Loading, Panel, ProblemNotice, When } from '../parts/basic';
import { Icon } from '../parts/icon';
import { hrefOf } from '../parts/link';

const PAGE = 100;

/** "spec.memory: 1073741824" for each member of a merge patch. */
function lines(patch: unknown, path = ''): [string, string][] {
	if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return [[path, patch === null ? 'removed' : JSON.stringify(patch)]];
	return Object.entries(patch as Values).flatMap(([name, value]) => lines(value, path ? `${path}.${name}` : name));
}

const DONE: Record<string, string> = { 'sign-in': 'signed in', 'sign-out': 'signed out', stop: 'stopped', reset: 'reset', change: 'changed', nmi: 'sent an interrupt to' };

/** "create" as "created". */
function did(action: string): string {
	if (DONE[action]) return DONE[action];
	if (/^[a-z]+$/.test(action)) return action.endsWith('e') ? `${action}d` : `${action}ed`;
	return words(action).toLowerCase();
}

function Line({ line }: { line: Values }): Root {
	const differences = line.difference ? lines(line.difference) : [];
	return (
		<li>
			<div class="grow stack tight">
				<span>
					<b>{line.user ?? 'Cella'}</b>{line.token ? <span class="faint"> by token {line.token}</span> : null} {did(line.action ?? '')}{' '}
					{line.kind ? <span class="muted">{words(line.kind).replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase())} </span> : null}
					{line.name && line.kind && hasKind(line.kind) ? <a href={hrefOf(line.kind, line.project, line.name)}>{line.name}</a> : (line.name ?? '')}
				</span>
				{differences.length ? (
					<details class="more">
						<summary class="small">
							<Icon name="right" />
							{line.action === 'create' ? 'How it began' : differences.length === 1 ? differences[0]![0] : `${differences.length} changes`}
						</summary>
						<div class="difference">
							{differences.map(([path, value]) => (
								<div key={path}>
									{path}: <span class={value === 'removed' ? 'was' : 'is'}>{value}</span>
								</div>
							))}
						</div>
					</details>
				) : null}
			</div>
			<span class="small faint audit-when">
				<span>{line.origin}</span>
				<When at={line.time} />
			</span>
		</li>
	);
}

export function AuditList(initial: { filter?: string; short?: boolean }, self: Self) {
	let items: Values[] = [];
	let next = '';
	let state: 'loading' | 'ready' | 'failed' = 'loading';
	let problem: Problem | null = null;
	let busy = false;
	let asked = initial.filter ?? '';
	let timer = 0;

	const read = async (more = false) => {
		busy = true;
		try {
			const query = new URLSearchParams({ limit: String(initial.short ? 30 : PAGE) });
			if (asked) query.set('filter', asked);
			if (more && next) query.set('after', next);
			const { body } = await send<Values>('GET', `/v1/audit?${query}`);
			items = more ? [...items, ...(body.items ?? [])] : (body.items ?? []);
			next = body.next ?? '';
			state = 'ready';
			problem = null;
		} catch (error) {
			problem = problemOf(error);
			state = 'failed';
		}
		busy = false;
		redraw();
	};
	void read();
	// A change that is seen has a line in the log.
	const stop = onChange((_, thing) => {
		if (thing.kind === 'operation' || items.length > PAGE) return;
		clearTimeout(timer);
		timer = window.setTimeout(() => void read(), 600);
	});
	self.onRemove(() => {
		stop();
		clearTimeout(timer);
	});

	return ({ filter = '', short }: typeof initial) => {
		if (filter !== asked) {
			asked = filter;
			void read();
		}
		if (state === 'failed' && problem) {
			if (problem.status === 403) return <p class="muted small" style={{ padding: '0 1rem 1rem' }}>The log is for those who may see it.</p>;
			return <ProblemNotice problem={problem} retry={() => void read()} />;
		}
		if (state === 'loading') return <Loading />;
		if (!items.length)
			return short ? (
				<p class="muted small" style={{ padding: '0 1rem 1rem' }}>Nothing that is still remembered.</p>
			) : (
				<Empty icon="audit" title="Nothing fits">Who changes something is written down here.</Empty>
			);
		return (
			<div>
				<ul class="list">
					{items.map((line) => (
						<Line key={line.id ?? `${line.time}-${line.uid}-${line.action}`} line={line} />
					))}
				</ul>
				{next ? (
					<div class="row" style={{ padding: '0.75rem 1rem' }}>
						<Button label="Show older ones" busy={busy} onClick={() => void read(true)} />
					</div>
				) : null}
			</div>
		);
	};
}

/** "alice", "vm", "web1" as a condition that the server understands. */
function conditions(actor: string, name: string, action: string): string {
	return [actor ? `user~${actor}` : '', name ? `name~${name}` : '', action ? `action=${action}` : '']
		.map((one) => one.replace(/,/g, '\\,'))
		.filter(Boolean)
		.join(',');
}

export function AuditPage() {
	let actor = '';
	let name = '';
	let action = '';
	const field = (label: string, value: string, set: (text: string) => void) => (
		<div class="search">
			<Icon name="search" />
			<input
				type="search"
				aria-label={label}
				placeholder={label}
				value={value}
				onChange={(event: Event) => set((event.target as HTMLInputElement).value.trim())}
			/>
		</div>
	);
	return () => (
		<div class="page">
			<div class="title">
				<h1>Audit</h1>
			</div>
			<div class="toolbar">
				{field('User', actor, (text) => {
					actor = text;
				})}
				{field('Object', name, (text) => {
					name = text;
				})}
				<span class="select">
					<select
						aria-label="Action"
						value={action}
						onChange={(event: Event) => {
							action = (event.target as HTMLSelectElement).value;
						}}
					>
						<option value="">Any action</option>
						{['create', 'change', 'delete', 'start', 'stop', 'sign-in'].map((one) => (
							<option key={one} value={one}>
								{words(one)}
							</option>
						))}
					</select>
					<Icon name="chevron" />
				</span>
			</div>
			<Panel flush>
				<AuditList filter={conditions(actor, name, action)} />
			</Panel>
		</div>
	);
}
