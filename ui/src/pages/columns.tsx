/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Columns of lists: those that a kind can have, and the menu that chooses which of them are shown. What was not chosen
 * by a person is as preset, so that a column that comes with a new version is seen.
 */
import { h, redraw } from '../base/view';
import { words } from '../base/format';
import { chooseColumn, chosenColumns, presetColumns } from '../base/settings';
import { type Column, type Field, fieldAt, type Kind } from '../api/schema';
import { type Thing, valueAt } from '../api/types';
import { Labels, When } from '../parts/basic';
import { Menu } from '../parts/menu';
import type { TableColumn } from '../parts/table';
import { ColumnValue } from '../parts/values';
import { wordsOf } from './kinds';

export interface ListColumn<T = Thing> extends TableColumn<T> {
	preset?: 'roomy' | 'off'; // shown where there is room, or when it is asked for; else always
}

const roomy = matchMedia('(min-width: 1181px)');
roomy.addEventListener('change', redraw);

const isPreset = <T,>(column: ListColumn<T>) => column.preset === undefined || (column.preset === 'roomy' && roomy.matches);

/** Of the columns of a list those that are shown here. */
export function shownColumns<T>(list: string, columns: ListColumn<T>[]): ListColumn<T>[] {
	const chosen = chosenColumns(list);
	return columns.filter((column) => column.main || (chosen[column.id] ?? isPreset(column)));
}

interface ColumnMenuProps<T> {
	list: string;
	columns: ListColumn<T>[];
	onHide?: (id: string) => void;
}

export function ColumnMenu<T>({ list, columns, onHide }: ColumnMenuProps<T>) {
	const shown = new Set(shownColumns(list, columns));
	const choose = (id: string, on: boolean) => {
		chooseColumn(list, id, on);
		if (!on) onHide?.(id);
	};
	return (
		<Menu
			label="Columns"
			button={{ label: 'Columns', icon: 'columns', look: 'quiet' }}
			items={[
				...columns
					.filter((column) => !column.main)
					.map((column) => ({ label: column.title, checked: shown.has(column), stays: true, run: () => choose(column.id, !shown.has(column)) })),
				null,
				{ label: 'As preset', icon: 'restart', disabled: !Object.keys(chosenColumns(list)).length, stays: true, run: () => presetColumns(list) },
			]}
		/>
	);
}

/** A column of a value of the object. */
function valueColumn(kind: Kind, column: Column, preset?: 'roomy' | 'off'): ListColumn {
	const field = fieldOf(kind, column.path);
	return {
		id: column.path,
		title: column.title,
		...(preset ? { preset } : {}),
		number: column.format === 'bytes' || column.format === 'percent' || field?.type === 'integer' || field?.type === 'size',
		sort: (thing) => {
			const value = valueAt(thing, column.path);
			return typeof value === 'number' ? value : String(value ?? '');
		},
		cell: (thing) => <ColumnValue column={column} thing={thing} field={field} />,
	};
}

function fieldOf(kind: Kind, path: string): Field | undefined {
	const [part, ...rest] = path.split('.');
	return fieldAt(part === 'status' ? kind.status : kind.spec, rest.join('.'));
}

/** What the server shows of a kind, and what else is worth a column. */
export function columnsOf(kind: Kind): ListColumn[] {
	const more = Object.entries(wordsOf(kind.name).columns ?? {}).map(([path, title]): Column => ({ title, path, format: 'text', wide: false }));
	return [
		...kind.columns.map((column) => valueColumn(kind, { ...column, title: words(column.title) }, column.wide ? 'roomy' : undefined)),
		...more.map((column) => valueColumn(kind, column, 'off')),
	];
}

export const NAME: ListColumn = { id: 'name', title: 'Name', main: true, sort: (thing) => thing.name, cell: (thing) => thing.name };

export function projectColumn(preset: boolean): ListColumn {
	return { id: 'project', title: 'Project', ...(preset ? {} : { preset: 'off' as const }), sort: (thing) => thing.project ?? '', cell: (thing) => thing.project ?? '' };
}

/** What every object has besides. */
export function commonColumns(labelled: boolean, onPick: (text: string) => void): ListColumn[] {
	return [
		{
			id: 'labels',
			title: 'Labels',
			preset: labelled ? 'roomy' : 'off',
			cell: (thing) => (Object.keys(thing.labels ?? {}).length ? <Labels labels={thing.labels} onPick={onPick} /> : null),
		},
		{ id: 'notes', title: 'Notes', preset: 'off', full: true, sort: (thing) => thing.notes ?? '', cell: (thing) => (thing.notes ? <span class="note-cell" dir="auto">{thing.notes}</span> : null) },
		{ id: 'protected', title: 'Protected', preset: 'off', sort: (thing) => Number(!thing.protected), cell: (thing) => (thing.protected ? 'Yes' : 'No') },
		{ id: 'created', title: 'Created', preset: 'off', sort: (thing) => thing.created, cell: (thing) => <When at={thing.created} /> },
	];
}
