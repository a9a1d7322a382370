/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of a kind: search, labels, order, and what can be done to several at once. Search and order stand in the address. */
import { type Child, h } from '../base/view';
import { count, lower, words } from '../base/format';
import { remembered } from '../base/memo';
import { link, route, setQuery } from '../base/router';
import { chosenProject } from '../base/settings';
import { collection, searchServer, things } from '../api/live';
import type { Kind } from '../api/schema';
import { may, mayAny } from '../api/session';
import type { Thing } from '../api/types';
import { Button, Empty, Loading, Notice } from '../parts/basic';
import { Icon } from '../parts/icon';
import { hrefOfThing } from '../parts/link';
import { Menu, type MenuItem } from '../parts/menu';
import { sorted, Table } from '../parts/table';
import { ColumnMenu, columnsOf, commonColumns, type ListColumn, NAME, projectColumn, shownColumns } from './columns';
import { wordsOf } from './kinds';
import { Unread } from './page-parts';
import { openRemove, removeItem } from './remove';

interface ListProps {
	kind: Kind;
	columns?: ListColumn[];
	rowMenu?: (thing: Thing) => (MenuItem | null)[];
	rowButtons?: (thing: Thing) => Child;
	bulk?: (chosen: Thing[], done: () => void) => Child;
	above?: Child;
	// For kinds whose objects have no page of their own.
	main?: ListColumn;
	href?: (thing: Thing) => string | undefined;
	order?: { by: string; down: boolean }; // until another one is chosen
	textOf?: (thing: Thing) => string; // is searched as well
	basis?: (shown: ListColumn[]) => unknown; // what cells show besides the objects: another value orders anew
}

/** "web tier=front": every word must be in the name, notes, or labels; NAME=VALUE is a label. */
function fits(thing: Thing, search: string, more: string): boolean {
	return search
		.toLowerCase()
		.split(/\s+/)
		.filter(Boolean)
		.every((word) => {
			const labels = Object.entries(thing.labels ?? {}).map(([name, value]) => `${name}=${value}`.toLowerCase());
			if (word.includes('=')) return labels.some((label) => label.startsWith(word));
			return [thing.name, thing.notes ?? '', thing.project ?? '', more, ...labels, ...(thing.status?.addresses ?? [])].some((text) =>
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

function StateMenu({ states, state }: { states: string[]; state: string }) {
	const choose = (name: string | null) => setQuery({ state: name, page: null });
	return (
		<Menu
			label="State"
			button={{ label: state ? words(state) : 'Any state', icon: 'chevron', look: state ? 'plain' : 'quiet' }}
			items={[
				{ label: 'Any state', checked: !state, run: () => choose(null) },
				...states.map((name) => ({ label: words(name), checked: name === state, run: () => choose(name) })),
			]}
		/>
	);
}

interface ChosenProps {
	kind: Kind;
	list: Thing[];
	of: Thing[];
	isPage: boolean; // all that is shown is chosen
	choose: (list: Thing[]) => void;
	children?: Child;
}

/** What can be done to several at once. */
function Chosen({ kind, list, of, isPage, choose, children }: ChosenProps) {
	const none = () => choose([]);
	return (
		<div class="bulk" role="region" aria-label="Chosen ones">
			<b>{list.length} chosen</b>
			{isPage && list.length < of.length ? <Button label={`Choose all ${of.length}`} small look="quiet" onClick={() => choose(of)} /> : null}
			{children}
			{mayAny('delete', kind.name) ? (
				<Button label="Delete" icon="trash" small disabled={!list.some((one) => may('delete', one))} onClick={() => openRemove(list, none)} />
			) : null}
			<Button label="Clear the choice" icon="close" iconOnly small look="quiet" onClick={none} />
		</div>
	);
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
	let columns: ListColumn[] = [];
	const surveyed = remembered(survey);
	let textOf: (thing: Thing) => string = () => '';
	const arranged = remembered((all: Thing[], search: string, state: string, by: string, down: boolean, _basis: unknown) => {
		const fitting = search || state ? all.filter((one) => (!state || stateOf(one) === state) && fits(one, search, textOf(one))) : all;
		// By name they are already.
		return by === 'name' && !down && surveyed(all).projects < 2 ? fitting : sorted(fitting, columns, by, down);
	});

	return (props: ListProps) => {
		const { kind, bulk } = props;
		const about = wordsOf(kind.name);
		const { query } = route();
		const search = query.get('q') ?? '';
		const state = query.get('state') ?? '';
		const order = props.order ?? { by: 'name', down: false };
		const by = query.get('sort') ?? order.by;
		const down = query.has('sort') ? query.get('down') === '1' : order.down;
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
		columns = [
			props.main ?? NAME,
			...(kind.scope === 'project' ? [projectColumn(withProject)] : []),
			...(props.columns ?? columnsOf(kind)),
			...(kind.internal ? [] : commonColumns(labelled, pick)),
		];
		const columnsShown = shownColumns(kind.name, columns);
		textOf = props.textOf ?? textOf;
		const rows = arranged(all, search, state, by, down, props.basis?.(columnsShown));
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
			...(kind.internal ? [] : [{ label: 'Edit', icon: 'edit', href: `${hrefOfThing(thing)}/edit`, allowed: may('change', thing) }, removeItem(thing)]),
		];
		return (
			<div class="page">
				<div class="title">
					<h1>{about.many}</h1>
					<div class="actions">{creates ? <Button label={`Create ${about.one}`} icon="plus" look="primary" href={link(kind.plural, 'new')} /> : null}</div>
				</div>
				{props.above}
				{found.state === 'failed' ? <Unread kind={kind} /> : null}
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
									placeholder={props.textOf ? `Search ${lower(about.many)}` : 'Search name, label=value, notes'}
									value={search}
									onInput={(event: Event) => setQuery({ q: (event.target as HTMLInputElement).value, page: null })}
								/>
							</div>
							{states.length > 1 ? <StateMenu states={states} state={state} /> : null}
							<span class="faint small" role="status">
								{found.state === 'loading' ? '' : rows.length === all.length ? count(all.length, about.one, lower(about.many)) : `${rows.length} of ${all.length}`}
							</span>
							<ColumnMenu list={kind.name} columns={columns} onHide={(id) => id === by && setQuery({ sort: null, down: null })} />
						</div>
						{found.partial ? <Notice mood="warn">There are more than are held here: search to find the others.</Notice> : null}
						<section class="panel flush">
							{found.state === 'loading' && !all.length ? (
								<Loading rows={6} />
							) : rows.length ? (
								<Table
									label={about.many}
									columns={columnsShown}
									rows={shown}
									rowKey={(one) => one.uid}
									rowLabel={(one) => one.name}
									href={props.href ?? hrefOfThing}
									sort={{ by, down }}
									onSort={(id, isDown) => {
										const isPreset = id === order.by && isDown === order.down;
										setQuery({ sort: isPreset ? null : id, down: isDown && !isPreset ? '1' : null, page: null });
									}}
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
							<Chosen
								kind={kind}
								list={picked}
								of={rows}
								isPage={shown.every((one) => chosen.has(one.uid))}
								choose={(list) => {
									chosen = new Set(list.map((one) => one.uid));
								}}
							>
								{bulk?.(picked, done)}
							</Chosen>
						) : null}
					</div>
				) : null}
			</div>
		);
	};
}
