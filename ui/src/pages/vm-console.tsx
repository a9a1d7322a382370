/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The serial console of a VM, and its logs. */
import { h, redraw, type Self } from '../base/view';
import { words } from '../base/format';
import { act, placeOf } from '../api/change';
import { problemOf } from '../api/problem';
import type { Thing } from '../api/types';
import { Button, Loading, Notice, State } from '../parts/basic';
import { copyText } from '../parts/copy';
import { openDialog } from '../parts/dialog';
import type { Console, ConsoleState } from '../parts/terminal';
import { run } from './action';
import { can, isOn, vmState } from './vm-state';

const CONSOLE_WORDS: Record<ConsoleState, string> = {
	open: 'Connected',
	connecting: 'Connecting',
	waiting: 'Connecting again',
	closed: 'Closed',
	refused: 'Connecting again',
};

export function ConsoleTab(initial: { vm: Thing }, self: Self) {
	let state: ConsoleState = 'connecting';
	let note = '';
	let terminal: Console | null = null;
	let box: HTMLElement | null = null;
	let gone = false;
	self.onRemove(() => {
		gone = true;
		terminal?.close();
	});
	const start = async (place: HTMLElement) => {
		// The terminal is a third of the console's code: it comes when it is wanted.
		const { openConsole } = await import('../parts/terminal');
		if (gone) return;
		terminal = openConsole(place, `${placeOf(initial.vm)}/console`, (now, said) => {
			state = now;
			note = said;
			redraw();
		});
		terminal.focus();
	};
	return ({ vm }: typeof initial) => (
		<div
			class="terminal-box stack tight"
			ref={(dom: HTMLElement) => {
				box = dom;
			}}
		>
			<div class="terminal-bar">
				<span class="grow">
					{isOn(vm) ? <State state={state === 'open' ? 'live' : state === 'connecting' ? 'starting' : 'stopped'} words={CONSOLE_WORDS[state]} /> : <State state="stopped" words="The VM is off" />}
				</span>
				<Button
					label="Copy"
					icon="copy"
					small
					look="quiet"
					title="Copy what is chosen, or all of it"
					onClick={() => terminal && copyText(terminal.copy())}
				/>
				<Button label="Log" icon="audit" small look="quiet" onClick={() => openLogs(vm)} />
				<Button
					label="Full screen"
					icon="full"
					small
					look="quiet"
					onClick={() => void (document.fullscreenElement ? document.exitFullscreen() : box?.requestFullscreen())}
				/>
			</div>
			<div class="terminal-screen" ref={(dom: HTMLElement) => void start(dom)} />
			{!isOn(vm) ? (
				<Notice actions={<Button label="Start" icon="play" small look="primary" disabled={!can(vm, 'start')} onClick={() => void run(vm, 'start')} />}>
					The VM is {words(vmState(vm)).toLowerCase()}. What it wrote last stands above.
				</Notice>
			) : state === 'closed' || note ? (
				<Notice mood="warn" actions={<Button label="Connect" small onClick={() => terminal?.retry()} />}>
					{note || 'The connection was closed.'}
				</Notice>
			) : null}
		</div>
	);
}

function Logs(initial: { vm: Thing; close: () => void }) {
	let source = 'console';
	let text: string | null = null;
	const read = async () => {
		text = null;
		redraw();
		try {
			const body = await act(initial.vm, 'logs', { source });
			text = String(body.text ?? body.log ?? body.content ?? '');
		} catch (error) {
			text = problemOf(error).message;
		}
		redraw();
	};
	void read();
	return ({ vm, close }: typeof initial) => (
		<div class="stack">
			<div class="row">
				<h2 class="grow">Log of {vm.name}</h2>
				<div class="segments" role="group" aria-label="Which log">
					{[
						['console', 'Console'],
						['vmm', 'Process'],
					].map(([id, title]) => (
						<button
							key={id}
							type="button"
							aria-pressed={String(source === id)}
							onClick={() => {
								source = id!;
								void read();
							}}
						>
							{title}
						</button>
					))}
				</div>
			</div>
			{text === null ? <Loading /> : <pre class="log" tabindex="0" aria-label="Log">{text || 'It is empty.'}</pre>}
			<div class="dialog-actions">
				<Button label="Close" onClick={close} />
			</div>
		</div>
	);
}

function openLogs(vm: Thing): void {
	openDialog(`Log of ${vm.name}`, (close) => <Logs vm={vm} close={close} />, 'large');
}
