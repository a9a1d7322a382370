/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of a kind: search, labels, order, and what can be done to several at once. Search and order stand in the address. */
import { type Child, h } from '../base/view';
import { count, words } from '../base/format';
import { remembered } from '../base/memo';
import { link, route, setQuery } from '../base/router';
import { chosenProject } from '../base/settings';
import { remove } from '../api/change';
import { collection, reload, searchServer, things } from '../api/live';
import { fieldAt, type Kind } from '../api/schema';
import { may, mayAny } from '../api/session';
import { type Thing, valueAt } from '../api/types';
import { Button, Empty, Labels, Loading, Notice, ProblemNotice } from '../parts/basic';
import { ask } from '../parts/dialog';
import { Icon } from '../parts/icon';
import { hrefOfThing } from '../parts/link';
import { Menu, type MenuItem } from '../parts/menu';
import { sorted, Table, type TableColumn } from '../parts/table';
import { say } from '../parts/toast';
import { ColumnValue } from '../parts/values';
import { removeItem } from './remove';
import { wordsOf } from './kinds';

interface ListProps {
	kind: Kind;
	columns?: TableColumn<Thing>[];
	rowMenu?: (thing: Thing) => (MenuItem | null)[];
	rowButtons?: (thing: Thing) => Child;
	bulk?: (chosen: Thing[], done: () => void) => Child;
	states?: string[]; // offered as a filter
	above?: Child;
}

/** Columns from what the server says of the kind. */
export function columnsOf(kind: Kind): TableColumn<Thing>[] {
	return kind.columns.map((column) => {
		const [part, ...rest] = column.path.split('.');
		const field = fieldAt(part === 'status' ? kind.status : kind.spec, rest.join('.'));
		return {
			id: column.path,
			title: words(column.title.toLowerCase()),
			wide: column.wide,
			number: column.format === 'bytes' || column.format === 'percent' || field?.type === 'integer',
			sort: (thing) => {
				const value = valueAt(thing, column.path);
				return typeof value === 'number' ? value : String(value ?? '');
			},
			cell: (thing) => <ColumnValue column={column} thing={thing} field={field} />,
		};
	});
}

export function nameColumn(onPick: (text: string) => void, withProject: boolean): TableColumn<Thing>[] {
	const name: TableColumn<Thing> = {
		id: 'name',
		title: 'Name',
		main: true,
		sort: (thing) => thing.name,
		cell: (thing) => thing.name,
	};
	const project: TableColumn<Thing> = { id: 'project', title: 'Project', sort: (thing) => thing.project ?? '', cell: (thing) => thing.project ?? '' };
	const labels: TableColumn<Thing> = {
		id: 'labels',
		title: 'Labels',
		cell: (thing) => (Object.keys(thing.labels ?? {}).length ? <Labels labels={thing.labels} onPick={onPick} /> : null),
		wide: true,
	};
	return withProject ? [name, project, labels] : [name, labels];
}

/** "web tier=front": every word must be in the name, notes, or labels; NAME=VALUE is a label. */
export function fits(thing: Thing, search: string): boolean {
	return search
		.toLowerCase()
		.split(/\s+/)
		.filter(Boolean)
		.every((word) => {
			const labels = Object.entries(thing.labels ?? {}).map(([name, value]) => `${name}=${value}`.toLowerCase());
			if (word.includes('=')) return labels.some((label) => label.startsWith(word));
			return [thing.name, thing.notes ?? '', thing.project ?? '', ...labels, ...(thing.status?.addresses ?? [])].some((text) =>
				String(text).toLowerCase().includes(word),
			);
		});
}

const ROWS = 100; // on a page

function Pages({ page, pages, rows }: { page: number; pages: number; rows: number }) {
	const turn = (to: number) => {
		setQuery({ page: to > 1 ? String(to) : null });
		document.querySelector('.main')?.scrollTo(0, 0);
		scrollTo(0, 0);
	};
	return (
		<nav class="pages" aria-label="Pages of the list">
			<Button label="Previous" small disabled={page <= 1} onClick={() => turn(page - 1)} />
			<span class="small muted" role="status">
				{(page - 1) * ROWS + 1} to {Math.min(page * ROWS, rows)} of {rows}
			</span>
			<Button label="Next" small disabled={page >= pages} onClick={() => turn(page + 1)} />
		</nav>
	);
}

/** "Images" as "images", but "VMs". */
function lower(words: string): string {
	return words.replace(/^[A-Z](?![A-Z])/, (letter) => letter.toLowerCase());
}

/** What a list has besides its rows. */
const survey = (all: Thing[]) => ({
	states: [...new Set(all.map(stateOf))].filter(Boolean).sort(),
	labelled: all.some((one) => Object.keys(one.labels ?? {}).length > 0),
	projects: new Set(all.map((one) => one.project)).size,
});

function stateOf(thing: Thing): string {
	return thing.deleting ? 'deleting' : ((thing.status?.state as string | undefined) ?? '');
}

export function KindList(_: ListProps) {
	let chosen = new Set<string>();
	let asked = ''; // of the server
	let columns: TableColumn<Thing>[] = [];
	const surveyed = remembered(survey);
	const arranged = remembered((all: Thing[], search: string, state: string, by: string, down: boolean) => {
		const fitting = search || state ? all.filter((one) => (!state || stateOf(one) === state) && fits(one, search)) : all;
		// By name they are already.
		return by === 'name' && !down && surveyed(all).projects < 2 ? fitting : sorted(fitting, columns, by, down);
	});

	return (props: ListProps) => {
		const { kind, bulk } = props;
		const about = wordsOf(kind.name);
		const { query } = route();
		const search = query.get('q') ?? '';
		const state = query.get('state') ?? '';
		const by = query.get('sort') ?? 'name';
		const down = query.get('down') === '1';
		const found = collection(kind.name);
		const all = things(kind.name, chosenProject());
		const { states, labelled, projects } = surveyed(all);
		const withProject = kind.scope === 'project' && !chosenProject() && projects > 1;
		const pick = (text: string) => setQuery({ q: search.includes(text) ? search : `${search} ${text}`.trim(), page: null });
		// Of more than are held here, the server looks for those that fit.
		if (found.partial && search && asked !== search) {
			asked = search;
			void searchServer(kind, search);
		}
		const own = props.columns ?? columnsOf(kind);
		const names = nameColumn(pick, withProject);
		columns = [...names.slice(0, withProject ? 2 : 1), ...own, ...(labelled ? names.slice(-1) : [])];
		const rows = arranged(all, search, state, by, down);
		const pages = Math.max(1, Math.ceil(rows.length / ROWS));
		const page = Math.min(Math.max(1, Number(query.get('page')) || 1), pages);
		const shown = rows.slice((page - 1) * ROWS, page * ROWS);
		const picked = chosen.size ? rows.filter((one) => chosen.has(one.uid)) : [];
		if (picked.length < chosen.size) chosen = new Set(picked.map((one) => one.uid));
		const creates = !kind.internal && mayAny('create', kind.name);
		const done = () => {
			chosen = new Set();
		};
		const menu = (thing: Thing): (MenuItem | null)[] => [
			...(props.rowMenu?.(thing) ?? []),
			{ label: 'Edit', icon: 'edit', href: `${hrefOfThing(thing)}/edit`, allowed: !kind.internal && may('change', thing) },
			removeItem(thing),
		];
		return (
			<div class="page">
				<div class="title">
					<h1>{about.many}</h1>
					<div class="actions">{creates ? <Button label={`Create ${about.one}`} icon="plus" look="primary" href={link(kind.plural, 'new')} /> : null}</div>
				</div>
				{props.above}
				{found.state === 'failed' ? <ProblemNotice problem={found.problem!} retry={() => reload(kind.name)} /> : null}
				{found.state === 'ready' && !all.length ? (
					<section class="panel">
						<Empty
							icon={about.icon}
							title={`No ${lower(about.many)} yet`}
							action={creates ? <Button label={`Create ${about.one}`} icon="plus" look="primary" href={link(kind.plural, 'new')} /> : null}
						>
							{about.empty}
						</Empty>
					</section>
				) : found.state !== 'failed' || all.length ? (
					<div class="stack">
						<div class="toolbar">
							<div class="search">
								<Icon name="search" />
								<input
									type="search"
									aria-label={`Search ${about.many}`}
									placeholder="Search name, label=value, notes"
									value={search}
									onInput={(event: Event) => setQuery({ q: (event.target as HTMLInputElement).value, page: null })}
								/>
							</div>
							{states.length > 1 ? (
								<Menu
									label="State"
									button={{ label: state ? words(state) : 'Any state', icon: 'chevron', look: state ? 'plain' : 'quiet' }}
									items={[
										{ label: 'Any state', checked: !state, run: () => setQuery({ state: null, page: null }) },
										...states.map((name) => ({ label: words(name), checked: name === state, run: () => setQuery({ state: name, page: null }) })),
									]}
								/>
							) : null}
							<span class="faint small" role="status">
								{found.state === 'loading' ? '' : rows.length === all.length ? count(all.length, about.one, lower(about.many)) : `${rows.length} of ${all.length}`}
							</span>
						</div>
						{found.partial ? <Notice mood="warn">There are more than are held here: search to find the others.</Notice> : null}
						<section class="panel flush">
							{found.state === 'loading' && !all.length ? (
								<Loading rows={6} />
							) : rows.length ? (
								<Table
									label={about.many}
									columns={columns}
									rows={shown}
									rowKey={(one) => one.uid}
									rowLabel={(one) => one.name}
									href={hrefOfThing}
									sort={{ by, down }}
									onSort={(id, isDown) => setQuery({ sort: id === 'name' && !isDown ? null : id, down: isDown ? '1' : null, page: null })}
									faded={(one) => one.deleting === true}
									{...(kind.internal || !(mayAny('delete', kind.name) || mayAny('operate', kind.name))
										? {}
										: {
												chosen,
												onChoose: (now: Set<string>) => {
													chosen = now;
												},
											})}
									actions={(one) => (
										<div>
											{props.rowButtons?.(one)}
											<Menu button={{ label: `Actions of ${one.name}`, icon: 'more', iconOnly: true, small: true, look: 'quiet' }} items={menu(one)} />
										</div>
									)}
								/>
							) : (
								<Empty icon="search" title="Nothing fits" action={<Button label="Clear the search" onClick={() => setQuery({ q: null, state: null, page: null })} />}>
									No {about.one} fits {search ? `“${search}”` : 'this state'}.
								</Empty>
							)}
						</section>
						{pages > 1 ? <Pages page={page} pages={pages} rows={rows.length} /> : null}
						{picked.length ? (
							<div class="bulk" role="region" aria-label="Chosen ones">
								<b>{picked.length} chosen</b>
								{picked.length < rows.length && shown.every((one) => chosen.has(one.uid)) ? (
									<Button
										label={`Choose all ${rows.length}`}
										small
										look="quiet"
										onClick={() => {
											chosen = new Set(rows.map((one) => one.uid));
										}}
									/>
								) : null}
								{bulk?.(picked, done)}
								<Button label="Delete" icon="trash" small disabled={!picked.some((one) => may('delete', one))} onClick={() => removeAll(picked, about.one, about.many, done)} />
								<Button label="Clear the choice" icon="close" iconOnly small look="quiet" onClick={done} />
							</div>
						) : null}
					</div>
				) : null}
			</div>
		);
	};
}

/** Does something to each, a few at a time, and says how many it did not work for. */
export async function doAll(list: Thing[], run: (thing: Thing) => Promise<unknown>): Promise<void> {
	const failed: string[] = [];
	let last: unknown;
	const queue = [...list];
	const worker = async () => {
		for (let one = queue.shift(); one; one = queue.shift()) {
			try {
				await run(one);
			} catch (error) {
				failed.push(one.name);
				last = error;
			}
		}
	};
	await Promise.all([worker(), worker(), worker(), worker()]);
	if (failed.length === 1) throw last;
	if (failed.length) throw new Error(`it did not work for ${failed.length} of ${list.length}: ${failed.slice(0, 5).join(', ')}`);
}

function removeAll(list: Thing[], one: string, many: string, done: () => void): void {
	const guarded = list.filter((thing) => thing.protected);
	const rest = list.filter((thing) => !thing.protected);
	ask({
		title: `Delete ${count(rest.length, one, many)}?`,
		text: (
			<div class="stack tight">
				<span>{rest.slice(0, 12).map((thing) => thing.name).join(', ')}{rest.length > 12 ? ' …' : ''}</span>
				{guarded.length ? <span>{count(guarded.length, 'protected one is', 'protected ones are')} left alone.</span> : null}
			</div>
		),
		action: 'Delete',
		danger: true,
		...(rest.length > 3 ? { typed: 'delete' } : {}),
		run: async () => {
			await doAll(rest, remove);
			say('good', `Deleting ${count(rest.length, one, many)}`);
			done();
		},
	});
}

