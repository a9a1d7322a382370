/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of objects: made, patched, deleted, acted on. What comes back is shown before its event arrives. */
import { pathOf, send } from './client';
import { learn } from './live';
import { type Kind, kindOf } from './schema';
import type { Thing, Values } from './types';

function take(body: Values): Thing | null {
	if (!body?.uid || !body.kind) return null;
	learn(body as Thing);
	return body as Thing;
}

export function placeOf(thing: Thing): string {
	return pathOf(kindOf(thing.kind), thing.project, thing.name);
}

/** The object, or the operation that makes it. A token's answer has its secret besides. */
export async function create(kind: Kind, project: string, body: Values): Promise<Values> {
	const answer = await send('POST', pathOf(kind, project), { body });
	take(answer.body);
	return answer.body;
}

export async function change(thing: Thing, patch: Values): Promise<Values> {
	const answer = await send('PATCH', placeOf(thing), { body: patch, match: thing.revision, patch: true });
	take(answer.body);
	return answer.body;
}

export async function remove(thing: Thing): Promise<void> {
	const { body } = await send('DELETE', placeOf(thing));
	take(body);
}

export async function act(thing: Thing, action: string, params: Values = {}): Promise<Values> {
	const { body } = await send('POST', `${placeOf(thing)}/actions/${action}`, { body: params });
	take(body);
	return body;
}

/** Ends a machine as if its power were cut, and waits until it has ended. */
export async function cutPower(vm: Thing): Promise<void> {
	const { body } = await send('POST', `${placeOf(vm)}/actions/stop?wait=30s`, { body: { force: true } });
	take(body);
}

/** Does something to each, a few at a time, and says how many it did not work for. */
export async function doAll(list: Thing[], run: (thing: Thing) => Promise<unknown>): Promise<void> {
	const failed: string[] = [];
	let last: unknown;
	const queue = [...list];
	const worker = async () => {
		for (let one = queue.shift(); one; one = queue.shift()) {
			try {
				await run(one);
			} catch (error) {
				failed.push(one.name);
				last = error;
			}
		}
	};
	await Promise.all([worker(), worker(), worker(), worker()]);
	if (failed.length === 1) throw last;
	if (failed.length) throw new Error(`it did not work for ${failed.length} of ${list.length}: ${failed.slice(0, 5).join(', ')}`);
}
