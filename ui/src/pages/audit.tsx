/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit log: who did what, from where, and what it changed. */
import { h, type Root, type Self } from '../base/view';
import { lower, sentence, words } from '../base/format';
import { route, setQuery } from '../base/router';
import { followAudit } from '../api/audit';
import { hasKind } from '../api/schema';
import type { Values } from '../api/types';
import { Button, Dash, Empty, Loading, Panel, ProblemNotice, When } from '../parts/basic';
import { Icon } from '../parts/icon';
import { hrefOf } from '../parts/link';
import { Table } from '../parts/table';
import { ColumnMenu, type ListColumn, shownColumns } from './columns';

const PAGE = 100;
const SHORT = 30;

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

/** "Created disk archive", "Signed in". */
function What({ line }: { line: Values }): Root {
	const done = sentence(did(line.action ?? ''));
	if (!line.kind || /^sign-(in|out)$/.test(line.action)) return done;
	return (
		<span>
			{done} <span class="muted">{lower(words(line.kind))}</span>{' '}
			{line.name && hasKind(line.kind) ? <a href={hrefOf(line.kind, line.project, line.name)}>{line.name}</a> : (line.name ?? '')}
		</span>
	);
}

function Difference({ line }: { line: Values }): Root {
	const differences = line.difference ? lines(line.difference) : [];
	if (!differences.length) return null;
	return (
		<details class="more">
			<summary class="small">
				<Icon name="right" />
				{line.action === 'create' ? 'As it began' : differences.length === 1 ? differences[0]![0] : `${differences.length} values`}
			</summary>
			<div class="difference">
				{differences.map(([path, value]) => (
					<div key={path}>
						{path}: <span class={value === 'removed' ? 'was' : 'is'}>{value}</span>
					</div>
				))}
			</div>
		</details>
	);
}

function Who({ line }: { line: Values }): Root {
	return (
		<span>
			<b>{line.user ?? 'Cella'}</b>
			{line.token ? <span class="faint"> by token {line.token}</span> : null}
		</span>
	);
}

const keyOf = (line: Values) => String(line.id ?? `${line.time}-${line.uid}-${line.action}`);

const FORBIDDEN = 'Whoever may read users may read the log of what they did.';

/** What was done to one object lately. */
export function AuditOf(_: { filter: string }, self: Self) {
	const ask = followAudit(self, SHORT);
	return ({ filter }: typeof _) => {
		const { items, state, problem, again, more, busy } = ask(filter);
		if (problem?.status === 403) return <p class="muted small beside">{FORBIDDEN}</p>;
		if (problem) return <ProblemNotice problem={problem} retry={again} />;
		if (state === 'loading') return <Loading />;
		if (!items.length) return <p class="muted small beside">Nothing that is still remembered.</p>;
		return (
			<div>
				<ul class="list">
					{items.map((line) => (
						<li key={keyOf(line)}>
							<div class="grow stack tight">
								<span>
									<Who line={line} /> <span class="muted">·</span> <What line={line} />
								</span>
								<Difference line={line} />
							</div>
							<span class="small faint audit-when">
								<span>{line.origin}</span>
								<When at={line.time} />
							</span>
						</li>
					))}
				</ul>
				{more ? <Older more={more} busy={busy} /> : null}
			</div>
		);
	};
}

function Older({ more, busy }: { more: () => void; busy: boolean }) {
	return (
		<div class="beside">
			<Button label="Show older ones" busy={busy} onClick={more} />
		</div>
	);
}

const text = (value: unknown) => (value === undefined || value === null || value === '' ? <Dash /> : String(value));

const columns: ListColumn<Values>[] = [
	{ id: 'what', title: 'What', main: true, cell: (line) => <What line={line} /> },
	{ id: 'user', title: 'User', cell: (line) => <Who line={line} /> },
	{ id: 'time', title: 'When', cell: (line) => <When at={line.time} /> },
	{ id: 'exact', title: 'Date and time', preset: 'off', cell: (line) => <When at={line.time} live={false} /> },
	{ id: 'origin', title: 'From', cell: (line) => <span class="mono">{line.origin}</span> },
	{ id: 'project', title: 'Project', preset: 'off', cell: (line) => text(line.project) },
	{ id: 'token', title: 'Token', preset: 'off', cell: (line) => text(line.token) },
	{ id: 'uid', title: 'UID', preset: 'off', cell: (line) => <span class="mono">{text(line.uid)}</span> },
	{ id: 'revision', title: 'Revision', preset: 'off', number: true, cell: (line) => text(line.revision) },
	{ id: 'difference', title: 'Changes', full: true, cell: (line) => <Difference line={line} /> },
];

function AuditTable(_: { filter: string }, self: Self) {
	const ask = followAudit(self, PAGE);
	return ({ filter }: typeof _) => {
		const { items, state, problem, again, more, busy } = ask(filter);
		if (problem?.status === 403)
			return (
				<Empty icon="lock" title="The audit log is not for you">
					{FORBIDDEN}
				</Empty>
			);
		if (problem) return <ProblemNotice problem={problem} retry={again} />;
		if (state === 'loading') return <Loading rows={8} />;
		if (!items.length)
			return (
				<Empty icon="audit" title="Nothing fits">
					Who changes something is written down here.
				</Empty>
			);
		return (
			<div>
				<Table label="Audit" columns={shownColumns('audit', columns)} rows={items} rowKey={keyOf} />
				{more ? <Older more={more} busy={busy} /> : null}
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

const ACTIONS = ['create', 'change', 'delete', 'start', 'stop', 'sign-in'];

export function AuditPage(): Root {
	const { query } = route();
	const [actor, name, action] = ['user', 'object', 'action'].map((part) => query.get(part) ?? '') as [string, string, string];
	const field = (label: string, part: string, value: string) => (
		<div class="search">
			<Icon name="search" />
			<input
				type="search"
				aria-label={label}
				placeholder={label}
				value={value}
				onChange={(event: Event) => setQuery({ [part]: (event.target as HTMLInputElement).value.trim() })}
			/>
		</div>
	);
	return (
		<div class="page">
			<div class="title">
				<h1>Audit</h1>
			</div>
			<div class="toolbar">
				{field('User', 'user', actor)}
				{field('Object', 'object', name)}
				<span class="select">
					<select aria-label="Action" value={action} onChange={(event: Event) => setQuery({ action: (event.target as HTMLSelectElement).value })}>
						<option value="">Any action</option>
						{ACTIONS.map((one) => (
							<option key={one} value={one}>
								{words(one)}
							</option>
						))}
					</select>
					<Icon name="chevron" />
				</span>
				<ColumnMenu list="audit" columns={columns} />
			</div>
			<Panel flush>
				<AuditTable filter={conditions(actor, name, action)} />
			</Panel>
		</div>
	);
}
