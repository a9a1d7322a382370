/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations: what takes long on the server, its progress and its end. */
import { send } from './client';
import { collection, learn, things } from './live';
import type { Thing } from './types';

const OVER = ['done', 'failed', 'cancelled'];

export function isOver(operation: Thing): boolean {
	return OVER.includes(operation.status?.state);
}

/** Youngest first. */
export function operations(): Thing[] {
	return [...things('operation')].sort((a, b) => b.created.localeCompare(a.created));
}

export function runningOperations(): Thing[] {
	return collection('operation').state === 'ready' ? operations().filter((one) => !isOver(one)) : [];
}

/** The operation that works on an object now. */
export function operationOn(uid: string): Thing | undefined {
	return operations().find((one) => one.spec.resource?.uid === uid && !isOver(one));
}

export async function cancelOperation(operation: Thing): Promise<void> {
	const { body } = await send<Thing>('DELETE', `/v1/operations/${encodeURIComponent(operation.name)}`);
	if (body?.kind === 'operation') learn(body);
}
