/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dialogs. The browser's own element keeps the focus inside, closes on Escape, and gives the focus back. */
import { attempts } from '../base/attempt';
import { type Child, h, redraw, type Root } from '../base/view';
import { Button, ProblemNotice } from './basic';

interface Open {
	id: number;
	draw: (close: () => void) => Child;
	kind: string;
	label: string;
	stays: boolean; // when another page is shown
}

let open: Open[] = [];
let next = 1;

/** Opens a dialog; the result closes it. */
export function openDialog(label: string, draw: Open['draw'], kind = '', stays = false): () => void {
	const id = next++;
	const close = () => {
		open = open.filter((one) => one.id !== id);
		redraw();
	};
	open = [...open, { id, draw, kind, label, stays }];
	redraw();
	return close;
}

export function anyDialog(): boolean {
	return open.length > 0;
}

/** Another page is shown. */
export function closeDialogs(): void {
	open = open.filter((one) => one.stays);
	redraw();
}

function Dialog({ one }: { one: Open }) {
	const close = () => {
		open = open.filter((other) => other.id !== one.id);
		redraw();
	};
	return (
		<dialog
			class={`dialog ${one.kind}`}
			aria-label={one.label}
			ref={(dom: HTMLDialogElement) => {
				if (!dom.open) dom.showModal();
			}}
			onClose={close}
			onMousedown={(event: MouseEvent) => {
				if (event.target === event.currentTarget) close();
			}}
		>
			<div class="dialog-box">{one.draw(close)}</div>
		</dialog>
	);
}

export function Dialogs(): Root {
	return (
		<div>
			{open.map((one) => (
				<Dialog key={one.id} one={one} />
			))}
		</div>
	);
}

export interface Question {
	title: string;
	text?: Child;
	action: string;
	danger?: boolean;
	/** The word that has to be typed before. */
	typed?: string;
	run: () => Promise<unknown>;
}

function Confirm(initial: { question: Question; close: () => void }) {
	let typed = '';
	const attempt = attempts();
	const { question, close } = initial;
	const submit = async (event: Event) => {
		event.preventDefault();
		if (question.typed && typed !== question.typed) return;
		await attempt.run(async () => {
			await question.run();
			close();
		});
	};
	return () => (
		<form onSubmit={submit}>
			<h2>{question.title}</h2>
			{question.text ? <div class="muted">{question.text}</div> : null}
			{question.typed ? (
				<label class="field">
					<span class="field-name">
						Type <b class="mono">{question.typed}</b> to confirm
					</span>
					<input
						value={typed}
						autocomplete="off"
						spellcheck="false"
						onInput={(event: InputEvent) => {
							typed = (event.target as HTMLInputElement).value;
						}}
					/>
				</label>
			) : null}
			{attempt.problem ? <ProblemNotice problem={attempt.problem} /> : null}
			<div class="dialog-actions">
				<Button label="Cancel" onClick={close} attributes={{ autofocus: question.danger && !question.typed }} />
				<Button
					label={question.action}
					type="submit"
					look={question.danger ? 'danger' : 'primary'}
					busy={attempt.busy}
					disabled={Boolean(question.typed) && typed !== question.typed}
					attributes={{ autofocus: !question.danger && !question.typed }}
				/>
			</div>
		</form>
	);
}

export function ask(question: Question): void {
	openDialog(question.title, (close) => <Confirm question={question} close={close} />, 'small');
}
