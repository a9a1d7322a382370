/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is signed in. */
import { redraw } from '../base/view';
import { onUnauthenticated, send } from './client';
import { startLive, stopLive } from './live';
import { Problem } from './problem';
import { loadSchema } from './schema';
import type { Values } from './types';

export interface Session {
	user: string;
	fullName: string;
	root: boolean;
}

let session: Session | null = null;
let known = false;

export function currentSession(): Session | null {
	return session;
}

/** Whether the server has been asked yet. */
export function sessionKnown(): boolean {
	return known;
}

async function enter(body: Values): Promise<void> {
	await loadSchema();
	session = { user: body.user ?? '', fullName: body['full-name'] ?? '', root: body.root === true };
	known = true;
	startLive();
	redraw();
}

function leave(): void {
	if (session) stopLive();
	session = null;
	known = true;
	redraw();
}

export async function startSession(): Promise<void> {
	onUnauthenticated(leave);
	try {
		const { body } = await send('GET', '/v1/session');
		await enter(body);
	} catch (error) {
		if (!(error instanceof Problem) || error.status !== 401) throw error;
		leave();
	}
}

export async function signIn(how: { user: string; password: string } | { link: string }): Promise<void> {
	const { body } = await send('POST', '/v1/session', { body: how });
	await enter(body.user ? body : (await send('GET', '/v1/session')).body);
}

export async function signOut(): Promise<void> {
	try {
		await send('DELETE', '/v1/session');
	} finally {
		leave();
	}
}
