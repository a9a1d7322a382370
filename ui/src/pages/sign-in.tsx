/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sign-in: by name and password, or by the one-time link that the daemon prints. */
import { attempts } from '../base/attempt';
import { h } from '../base/view';
import { go, route } from '../base/router';
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
	const attempt = attempts(() => {
		password = '';
		requestAnimationFrame(() => document.querySelector<HTMLElement>(user ? 'input[type=password]' : 'input')?.focus());
	});

	const enter = async (how: Parameters<typeof signIn>[0]) => {
		await attempt.run(async () => {
			await signIn(how);
			if (/^#\/?(sign-in|link=)/.test(location.hash)) go('#/', true);
		});
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
				{attempt.problem ? <ProblemNotice problem={attempt.problem} /> : null}
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
					<Button label="Sign in" type="submit" look="primary" busy={attempt.busy} />
				</form>
				<p class="small muted">
					First time here? <code>cellad</code> prints a link that signs in once.
				</p>
			</div>
		</main>
	);
}
