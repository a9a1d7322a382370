/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The palette: any page, object or action by a few letters of its name. Spec: ARIA combobox with a list box. */
import { h } from '../base/view';
import { go } from '../base/router';
import { words } from '../base/format';
import { things } from '../api/live';
import { mayAny } from '../api/session';
import { openDialog } from './dialog';
import { Icon } from './icon';
import { hrefOfThing } from './link';

export interface Command {
	title: string;
	icon: string;
	note?: string;
	run: () => void;
}

const KINDS = ['vm', 'image', 'disk', 'network', 'pool', 'template'];

/** Letters in order; better when they begin words or stand together. 0: does not fit. */
function score(text: string, wanted: string): number {
	const low = text.toLowerCase();
	const at = low.indexOf(wanted);
	if (at >= 0) return 1000 - at - low.length / 10 + (at === 0 || /[^a-z0-9]/.test(low[at - 1]!) ? 300 : 0);
	let from = 0;
	let points = 100;
	for (const letter of wanted) {
		const found = low.indexOf(letter, from);
		if (found < 0) return 0;
		points -= found - from;
		from = found + 1;
	}
	return Math.max(points, 1);
}

function objects(): Command[] {
	return KINDS.filter((kind) => mayAny('read', kind)).flatMap((kind) =>
		things(kind).map((one) => ({
			title: one.name,
			icon: kind,
			note: `${words(kind)}${one.project ? ` in ${one.project}` : ''}`,
			run: () => go(hrefOfThing(one)),
		})),
	);
}

function Palette(initial: { commands: Command[]; close: () => void }) {
	let wanted = '';
	let at = 0;
	return ({ commands, close }: typeof initial) => {
		const all = [...commands, ...objects()];
		const text = wanted.trim().toLowerCase();
		const found = (
			text
				? all
						.map((one) => [score(one.title, text), one] as const)
						.filter(([points]) => points > 0)
						.sort(([a], [b]) => b - a)
						.map(([, one]) => one)
				: all
		).slice(0, 40);
		at = Math.min(at, Math.max(found.length - 1, 0));
		const run = (command: Command | undefined) => {
			if (!command) return;
			close();
			command.run();
		};
		const onKeydown = (event: KeyboardEvent) => {
			if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
				event.preventDefault();
				at = (at + (event.key === 'ArrowDown' ? 1 : found.length - 1)) % Math.max(found.length, 1);
				requestAnimationFrame(() => document.querySelector('.palette-list [aria-selected=true]')?.scrollIntoView({ block: 'nearest' }));
			} else if (event.key === 'Enter') {
				event.preventDefault();
				run(found[at]);
			}
		};
		return (
			<div>
				<div class="palette-input">
					<Icon name="search" />
					<input
						autofocus
						role="combobox"
						aria-label="Go to or do"
						aria-expanded="true"
						aria-controls="palette-list"
						aria-activedescendant={found.length ? `palette-${at}` : undefined}
						placeholder="Go to a page, a VM, an action…"
						spellcheck="false"
						autocomplete="off"
						value={wanted}
						onKeydown={onKeydown}
						onInput={(event: Event) => {
							wanted = (event.target as HTMLInputElement).value;
							at = 0;
						}}
					/>
					<kbd>Esc</kbd>
				</div>
				<div class="palette-list" id="palette-list" role="listbox" aria-label="Results">
					{found.map((command, i) => (
						<div
							key={`${command.title}/${command.note ?? ''}`}
							id={`palette-${i}`}
							role="option"
							aria-selected={String(i === at)}
							onClick={() => run(command)}
							onPointermove={() => {
								at = i;
							}}
						>
							<Icon name={command.icon} />
							<span class="grow cut">{command.title}</span>
							<span class="faint small">{command.note}</span>
						</div>
					))}
					{found.length ? null : <div class="palette-none muted">Nothing fits “{wanted}”</div>}
				</div>
			</div>
		);
	};
}

export function openPalette(commands: Command[]): void {
	openDialog('Go to', (close) => <Palette commands={commands} close={close} />, 'palette');
}
