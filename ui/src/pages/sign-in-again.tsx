/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Over the page when the session has ended: what was entered there is still there for whoever signs in again. */
import { attempts } from '../base/attempt';
import { h, type Self } from '../base/view';
import { currentSession, resumeSession, signIn, signOut } from '../api/session';
import { Button, ProblemNotice } from '../parts/basic';
import { FieldBox } from '../parts/form';

export function SignInAgain(_: object, self: Self) {
	const user = currentSession()!.user;
	let password = '';
	const attempt = attempts(() => {
		password = '';
	});

	// A session that was begun in another window is this one's as well.
	const look = () => void resumeSession().catch(() => null);
	addEventListener('focus', look);
	self.onRemove(() => removeEventListener('focus', look));

	const submit = async (event: Event) => {
		event.preventDefault();
		await attempt.run(async () => {
			await (password ? signIn({ user, password }) : resumeSession());
		});
	};
	return () => (
		<dialog
			class="dialog small"
			aria-label="Your session has ended"
			ref={(dom: HTMLDialogElement) => dom.showModal()}
			onCancel={(event: Event) => event.preventDefault()}
		>
			<form class="dialog-box" onSubmit={submit} novalidate>
				<h2>Your session has ended</h2>
				<p class="muted">What you entered is kept. Sign in again as {user}, here or by a link in another window.</p>
				{attempt.problem ? <ProblemNotice problem={attempt.problem} /> : null}
				<input class="unseen" name="user" autocomplete="username" value={user} readonly tabindex="-1" aria-hidden="true" />
				<FieldBox label="Password">
					{(ids) => (
						<input
							{...ids}
							autofocus
							type="password"
							autocomplete="current-password"
							value={password}
							onInput={(event: Event) => {
								password = (event.target as HTMLInputElement).value;
							}}
						/>
					)}
				</FieldBox>
				<div class="dialog-actions">
					<Button label="Leave" onClick={() => void signOut().catch(() => null)} />
					<Button label={password ? 'Sign in' : 'Go on'} type="submit" look="primary" busy={attempt.busy} />
				</div>
			</form>
		</dialog>
	);
}
