/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One's own password, and the one moment in which a token can be seen. */
import { attempts } from '../base/attempt';
import { h, redraw } from '../base/view';
import { send } from '../api/client';
import { endSession, ownSessions } from '../api/session';
import type { Values } from '../api/types';
import { Button, Loading, Notice, Pill, ProblemNotice, When } from '../parts/basic';
import { CopyBox } from '../parts/copy';
import { openDialog } from '../parts/dialog';
import { FieldBox } from '../parts/form';
import { complain, say } from '../parts/toast';

function PasswordForm(initial: { close: () => void }) {
	const { close } = initial;
	const values = { current: '', password: '', again: '' };
	const attempt = attempts();
	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			await send('POST', '/v1/session/password', { body: { current: values.current, password: values.password } });
			say('good', 'Your password was changed', 'Your other sessions have ended');
			close();
		});
	};
	const field = (name: keyof typeof values, label: string, autocomplete: string, error: string | null) => (
		<FieldBox label={label} error={error}>
			{(ids) => (
				<input
					{...ids}
					type="password"
					autocomplete={autocomplete}
					value={values[name]}
					onInput={(event: Event) => {
						values[name] = (event.target as HTMLInputElement).value;
					}}
				/>
			)}
		</FieldBox>
	);
	return () => {
		const of = (name: string) => (attempt.problem?.field === name ? attempt.problem.message : null);
		return (
			<form onSubmit={submit} novalidate>
				<h2>Change your password</h2>
				{attempt.problem && !['current', 'password'].includes(attempt.problem.field) ? <ProblemNotice problem={attempt.problem} /> : null}
				{field('current', 'Present password', 'current-password', of('current'))}
				{field('password', 'New password', 'new-password', of('password'))}
				{field('again', 'New password again', 'new-password', values.again && values.again !== values.password ? 'it differs from the one above' : null)}
				<div class="dialog-actions">
					<Button label="Cancel" onClick={close} />
					<Button label="Change password" type="submit" look="primary" busy={attempt.busy} disabled={!values.password || values.password !== values.again} />
				</div>
			</form>
		);
	};
}

export function openPassword(): void {
	openDialog('Change your password', (close) => <PasswordForm close={close} />, 'small');
}

function Sessions(initial: { close: () => void }) {
	let items: Values[] | null = null;
	const read = async () => {
		try {
			items = await ownSessions();
		} catch (error) {
			complain(error);
			items = [];
		}
		redraw();
	};
	void read();
	return ({ close }: typeof initial) => (
		<div class="stack">
			<h2>Your sessions</h2>
			{items === null ? (
				<Loading rows={2} />
			) : (
				<ul class="list flat">
					{items.map((one) => (
						<li key={one.id}>
							<span class="grow">
								<b class="mono" title={one.agent}>{one.origin}</b> {one.current ? <Pill mood="accent">this one</Pill> : null}
								<span class="small muted block">
									since <When at={one.started} />, ends <When at={one.ends} />
								</span>
							</span>
							{one.current ? null : (
								<Button
									label="End"
									small
									onClick={async () => {
										await endSession(one.id).catch(complain);
										await read();
									}}
								/>
							)}
						</li>
					))}
				</ul>
			)}
			<div class="dialog-actions">
				<Button label="Close" onClick={close} attributes={{ autofocus: true }} />
			</div>
		</div>
	);
}

export function openSessions(): void {
	openDialog('Your sessions', (close) => <Sessions close={close} />, 'small');
}

/** A link that signs somebody in once: for the first time, or instead of a forgotten password. */
export function openLink(user: string): void {
	void send('POST', '/v1/session/link', { body: { user } }).then(
		({ body }) => showOnce(`Sign-in link for ${user}`, 'It works once, within 15 minutes. Whoever has it is in.', location.origin + String(body.link)),
		(error) => complain(error),
	);
}

/** The secret of a new token, wherever the answer has it. */
function secretOf(body: Values): string {
	for (const value of [body.token, body.secret, body.result?.token, body.status?.token]) if (typeof value === 'string') return value;
	return '';
}

export function showToken(name: string, body: Values): void {
	const secret = secretOf(body);
	if (secret) showOnce(`Token ${name}`, 'It is shown this once. Keep it where passwords are kept.', secret);
}

function showOnce(title: string, warning: string, secret: string): void {
	openDialog(
		title,
		(close) => (
			<div class="stack">
				<h2>{title}</h2>
				<Notice mood="warn">{warning}</Notice>
				<CopyBox text={secret} name="it" autofocus />
				<div class="dialog-actions">
					<Button label="Done" look="primary" onClick={close} />
				</div>
			</div>
		),
		'small',
		true,
	);
}
