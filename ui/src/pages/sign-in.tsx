/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sign-in: by name and password, or by the one-time link that the daemon prints. */
import { h, redraw } from '../base/view';
import { go, route } from '../base/router';
import { type Problem, problemOf } from '../api/problem';
import { signIn } from '../api/session';
import { Button, ProblemNotice } from '../parts/basic';
import { FieldBox } from '../parts/form';
import { Logo } from '../parts/icon';

/** The link's word in the address: "#/sign-in/WORD" or "#link=WORD". */
function linkInAddress(): string {
	const { path } = route();
	if (path[0] === 'sign-in' && path[1]) return path[1];
	return /^#\/?link=([^&]+)/.exec(location.hash)?.[1] ?? '';
}

export function SignIn() {
	let user = '';
	let password = '';
	let busy = false;
	let problem: Problem | null = null;

	const enter = async (how: Parameters<typeof signIn>[0]) => {
		busy = true;
		problem = null;
		redraw();
		try {
			await signIn(how);
			if (/^#\/?(sign-in|link=)/.test(location.hash)) go('#/', true);
		} catch (error) {
			problem = problemOf(error);
			password = '';
			requestAnimationFrame(() => document.querySelector<HTMLElement>(user ? 'input[type=password]' : 'input')?.focus());
		}
		busy = false;
		redraw();
	};

	const link = linkInAddress();
	if (link) {
		// It works once: it must not stay in the history.
		history.replaceState(null, '', '#/sign-in');
		void enter({ link });
	}

	return () => (
		<main class="sign-in">
			<div class="box">
				<h1 class="brand">
					<Logo />
					Cella
				</h1>
				{problem ? <ProblemNotice problem={problem} /> : null}
				<form
					class="fields"
					onSubmit={(event: Event) => {
						event.preventDefault();
						void enter({ user, password });
					}}
				>
					<FieldBox label="User">
						{(ids) => (
							<input
								{...ids}
								autofocus
								name="user"
								autocomplete="username"
								autocapitalize="none"
								spellcheck="false"
								required
								value={user}
								onInput={(event: Event) => {
									user = (event.target as HTMLInputElement).value;
								}}
							/>
						)}
					</FieldBox>
					<FieldBox label="Password">
						{(ids) => (
							<input
								{...ids}
								type="password"
								name="password"
								autocomplete="current-password"
								required
								value={password}
								onInput={(event: Event) => {
									password = (event.target as HTMLInputElement).value;
								}}
							/>
						)}
					</FieldBox>
					<Button label="Sign in" type="submit" look="primary" busy={busy} />
				</form>
				<p class="small muted">
					First time here? <code>cellad</code> prints a link that signs in once.
				</p>
			</div>
		</main>
	);
}
