/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console of Cella: starts what the pages need, and shows the one that the address names. */
import '../style/main.css';
import { h, mount, redraw } from './base/view';
import { route, startRouter } from './base/router';
import { startTheme } from './base/settings';
import { type Problem, problemOf } from './api/problem';
import { currentSession, sessionExpired, sessionKnown, startSession } from './api/session';
import { Button, Notice, ProblemNotice } from './parts/basic';
import { closeDialogs, Dialogs } from './parts/dialog';
import { startKeys } from './parts/keys';
import { Toasts } from './parts/toast';
import { Shell, startShell } from './pages/shell';
import { SignIn } from './pages/sign-in';
import { SignInAgain } from './pages/sign-in-again';

let failure: Problem | null = null;

async function begin(): Promise<void> {
	failure = null;
	redraw();
	try {
		await startSession();
	} catch (error) {
		failure = problemOf(error);
		setTimeout(begin, 3000);
	}
	redraw();
}

function App() {
	if (!sessionKnown())
		return <div class="sign-in">{failure ? <ProblemNotice problem={failure} retry={begin} /> : <span class="unseen">Loading</span>}</div>;
	return currentSession() && !/^(sign-in$|link=)/.test(route().path[0] ?? '') ? <Shell /> : <SignIn />;
}

startTheme();
startKeys();
startShell();
startRouter(() => {
	closeDialogs();
	document.querySelector('.main')?.scrollTo(0, 0);
	scrollTo(0, 0);
	// A reader of the screen hears that the page is another one.
	requestAnimationFrame(() => document.querySelector<HTMLElement>('.main')?.focus({ preventScroll: true }));
});
mount(
	document.getElementById('app')!,
	() => (
		<div>
			<App />
			<Dialogs />
			{sessionExpired() ? <SignInAgain /> : null}
			<Toasts />
		</div>
	),
	(error) => {
		console.error(error);
		return (
			<main class="sign-in">
				<div class="box">
					<Notice mood="bad" title="The console has made a mistake">
						{error instanceof Error ? error.message : String(error)}
					</Notice>
					<Button
						label="To the overview"
						onClick={() => {
							location.hash = '#/';
							location.reload();
						}}
					/>
				</div>
			</main>
		);
	},
);
void begin();
// Times such as "5 min ago" go on by themselves.
setInterval(redraw, 15000);
