/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations: what takes long on the server, its progress and its end. */
import { remembered } from '../base/memo';
import { send } from './client';
import { collection, learn, things } from './live';
import type { Thing } from './types';

const OVER = ['done', 'failed', 'cancelled'];

export function isOver(operation: Thing): boolean {
	return OVER.includes(operation.status?.state);
}

const arrange = remembered((all: Thing[]) => {
	const youngest = [...all].sort((a, b) => (a.created < b.created ? 1 : a.created > b.created ? -1 : 0));
	const running = youngest.filter((one) => !isOver(one));
	// Of several the youngest: it is set last.
	const on = new Map(running.toReversed().map((one) => [one.spec.resource?.uid as string | undefined, one]));
	return { youngest, running, on };
});

/** Youngest first. */
export function operations(): Thing[] {
	return arrange(things('operation')).youngest;
}

export function runningOperations(): Thing[] {
	return collection('operation').state === 'ready' ? arrange(things('operation')).running : [];
}

/** The operation that works on an object now. */
export function operationOn(uid: string): Thing | undefined {
	return arrange(things('operation')).on.get(uid);
}

export async function cancelOperation(operation: Thing): Promise<void> {
	const { body } = await send<Thing>('DELETE', `/v1/operations/${encodeURIComponent(operation.name)}`);
	if (body?.kind === 'operation') learn(body);
}
