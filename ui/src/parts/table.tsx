/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables: sorted by a head, chosen by boxes, moved in by keys (arrows, Enter, x). On a narrow screen each row becomes a
 * card; the roles are written down because such a display takes them from the elements.
 */
import { type Child, h } from '../base/view';
import { Icon } from './icon';

export interface TableColumn<T> {
	id: string;
	title: string;
	cell: (row: T) => Child;
	sort?: (row: T) => string | number;
	number?: boolean;
	main?: boolean; // the row's name: the head of its card
	full?: boolean; // a line of its own in a card
}

interface TableProps<T> {
	label: string;
	columns: TableColumn<T>[];
	rows: T[];
	rowKey: (row: T) => string;
	href?: (row: T) => string | undefined;
	sort?: { by: string; down: boolean };
	onSort?: (by: string, down: boolean) => void;
	chosen?: Set<string>;
	onChoose?: (chosen: Set<string>) => void;
	rowLabel?: (row: T) => string;
	actions?: (row: T) => Child;
	faded?: (row: T) => boolean;
}

const collator = new Intl.Collator(undefined, { numeric: true });

export function sorted<T>(rows: T[], columns: TableColumn<T>[], by: string, down: boolean): T[] {
	const of = columns.find((column) => column.id === by)?.sort;
	if (!of) return rows;
	const way = down ? -1 : 1;
	return rows
		.map((row) => [of(row), row] as const)
		.sort(([a], [b]) => way * (typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(String(a), String(b))))
		.map(([, row]) => row);
}

function moveRow(event: KeyboardEvent): void {
	const row = (event.target as HTMLElement).closest('tr');
	if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
	const to = { ArrowDown: row.nextElementSibling, j: row.nextElementSibling, ArrowUp: row.previousElementSibling, k: row.previousElementSibling }[event.key];
	if (to !== undefined) {
		event.preventDefault();
		to?.querySelector<HTMLElement>('.row-link, a, button, input')?.focus();
	} else if (event.key === 'x') {
		row.querySelector<HTMLInputElement>('.choose input')?.click();
	}
}

export function Table<T>(props: TableProps<T>) {
	const { label, columns, rows, rowKey, href, sort, onSort, chosen, onChoose, actions } = props;
	const all = rows.length > 0 && chosen !== undefined && rows.every((row) => chosen.has(rowKey(row)));
	const toggle = (key: string, on: boolean) => {
		const now = new Set(chosen);
		if (on) now.add(key);
		else now.delete(key);
		onChoose?.(now);
	};
	return (
		<div class="table-box" onKeydown={moveRow}>
			<table role="table" aria-label={label} aria-rowcount={String(rows.length + 1)}>
				<thead role="rowgroup">
					<tr role="row">
						{chosen ? (
							<th role="columnheader" class="choose">
								<input
									type="checkbox"
									aria-label="Choose all"
									checked={all}
									indeterminate={!all && chosen.size > 0}
									onChange={() => onChoose?.(all ? new Set() : new Set(rows.map(rowKey)))}
								/>
							</th>
						) : null}
						{columns.map((column) => {
							const isBy = sort?.by === column.id;
							return (
								<th
									key={column.id}
									role="columnheader"
									scope="col"
									class={column.number ? 'number' : undefined}
									aria-sort={isBy ? (sort?.down ? 'descending' : 'ascending') : undefined}
								>
									{column.sort && onSort ? (
										<button type="button" class="sorter" onClick={() => onSort(column.id, isBy ? !sort?.down : false)}>
											{column.title}
											<span class={`sort-mark${isBy ? ' on' : ''}${sort?.down ? ' down' : ''}`}>
												<Icon name="chevron" />
											</span>
										</button>
									) : (
										column.title
									)}
								</th>
							);
						})}
						{actions ? (
							<th role="columnheader" class="row-actions">
								<span class="unseen">Actions</span>
							</th>
						) : null}
					</tr>
				</thead>
				<tbody role="rowgroup">
					{rows.map((row) => {
						const key = rowKey(row);
						const name = props.rowLabel?.(row) ?? key;
						const place = href?.(row);
						return (
							<tr
								key={key}
								role="row"
								class={`${chosen?.has(key) ? 'chosen' : ''}${props.faded?.(row) ? ' faded' : ''}`}
								onClick={(event: MouseEvent) => {
									// The whole row leads where its name does.
									const target = event.target as HTMLElement;
									if (!place || target.closest('a, button, input, .menu, label') || getSelection()?.toString()) return;
									location.hash = place;
								}}
							>
								{chosen ? (
									<td role="cell" class="choose">
										<input
											type="checkbox"
											aria-label={`Choose ${name}`}
											checked={chosen.has(key)}
											onChange={(event: Event) => toggle(key, (event.target as HTMLInputElement).checked)}
										/>
									</td>
								) : null}
								{columns.map((column) => (
									<td
										key={column.id}
										role="cell"
										class={`${column.number ? 'number' : ''}${column.main ? ' main-cell' : ''}${column.full ? ' full' : ''}`}
										data-title={column.main ? undefined : column.title}
									>
										{column.main && place ? (
											<a class="row-link" href={place}>
												{column.cell(row)}
											</a>
										) : (
											column.cell(row)
										)}
									</td>
								))}
								{actions ? (
									<td role="cell" class="row-actions">
										{actions(row)}
									</td>
								) : null}
							</tr>
						);
					})}
				</tbody>
			</table>
		</div>
	);
}
