/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is signed in. */
import { redraw } from '../base/view';
import { onUnauthenticated, send } from './client';
import { pauseLive, startLive, stopLive } from './live';
import { Problem } from './problem';
import { hasKind, type Kind, kindOf, loadSchema } from './schema';
import type { Thing, Values } from './types';

export interface Right {
	project: string; // "*": all, and the server; "": the server alone
	kinds: string[];
	verbs: string[];
	labels?: Record<string, string> | null;
}

export interface Session {
	user: string;
	fullName: string;
	root: boolean;
	rights: Right[];
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

let expired = false;

/** Whether the session has ended by itself: what was entered is kept until somebody signs in or leaves. */
export function sessionExpired(): boolean {
	return expired;
}

async function enter(body: Values): Promise<void> {
	await loadSchema();
	// Somebody else's things are not shown.
	if (session && session.user !== body.user) stopLive();
	session = { user: body.user ?? '', fullName: body['full-name'] ?? '', root: body.root === true, rights: body.rights ?? [] };
	known = true;
	expired = false;
	startLive();
	redraw();
}

function leave(): void {
	if (session) stopLive();
	session = null;
	known = true;
	expired = false;
	redraw();
}

function lose(): void {
	if (!session) return leave();
	pauseLive();
	expired = true;
	redraw();
}

export async function startSession(): Promise<void> {
	onUnauthenticated(lose);
	try {
		await resumeSession();
	} catch (error) {
		if (!(error instanceof Problem) || error.status !== 401) throw error;
	}
}

/** Goes on with the session that the browser has, perhaps from another window. */
export async function resumeSession(): Promise<void> {
	await enter((await send('GET', '/v1/session')).body);
}

export async function signIn(how: { user: string; password: string } | { link: string }): Promise<void> {
	const { body } = await send('POST', '/v1/session', { body: how });
	if (body.user) await enter(body);
	else await resumeSession();
}

export async function signOut(): Promise<void> {
	try {
		await send('DELETE', '/v1/session');
	} finally {
		leave();
	}
}

// ---- rights: what is not allowed is not offered; the server decides all the same ----

function reaches(right: Right, kind: Kind, place: string): boolean {
	return right.project === '*' || right.project === place || (kind.scope === 'server' && kind.name !== 'project' && right.project === '');
}

/** Whether there could be an object of the kind that one may do this to. */
export function mayAny(verb: string, kind: string): boolean {
	return hasKind(kind) && (session?.rights.some((right) => right.kinds.includes(kind) && right.verbs.includes(verb)) ?? false);
}

export function may(verb: string, thing: Thing): boolean {
	const kind = kindOf(thing.kind);
	const place = thing.kind === 'project' ? thing.name : (thing.project ?? '');
	return (
		session?.rights.some(
			(right) =>
				right.kinds.includes(thing.kind) &&
				right.verbs.includes(verb) &&
				reaches(right, kind, place) &&
				Object.entries(right.labels ?? {}).every(([name, value]) => thing.labels?.[name] === value),
		) ?? false
	);
}

export async function ownSessions(): Promise<Values[]> {
	return ((await send('GET', '/v1/sessions')).body.items ?? []) as Values[];
}

export async function endSession(id: string): Promise<void> {
	await send('DELETE', `/v1/sessions/${encodeURIComponent(id)}`);
}
