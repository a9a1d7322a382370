/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit log, newest lines first, as far back as somebody reads. */
import { redraw, type Self } from '../base/view';
import { send } from './client';
import { onChange } from './live';
import { type Problem, problemOf } from './problem';
import type { Values } from './types';

const RETRY = 3000; // ms

export interface Log {
	items: Values[];
	state: 'loading' | 'ready' | 'failed';
	problem: Problem | null;
	again: () => void;
	more: (() => void) | null; // reads older ones; null: there are none
	busy: boolean;
}

/** Keeps the lines that fit a filter true while the component is shown; another filter begins anew. */
export function followAudit(self: Self, limit: number): (filter: string) => Log {
	let asked: string | null = null;
	let next = '';
	let timer = 0;

	const read = async (older: boolean) => {
		const filter = asked ?? '';
		log.busy = true;
		try {
			const query = new URLSearchParams({ limit: String(limit) });
			if (filter) query.set('filter', filter);
			if (older) query.set('after', next);
			const { body } = await send<Values>('GET', `/v1/audit?${query}`);
			if (filter !== asked) return; // the answer to another filter is on its way
			log.items = [...(older ? log.items : []), ...((body.items ?? []) as Values[])];
			next = body.next ?? '';
			log.more = next ? () => void read(true) : null;
			log.state = 'ready';
			log.problem = null;
		} catch (error) {
			log.problem = problemOf(error);
			log.state = 'failed';
			// The server is away: it comes again.
			if (log.problem.status === 0) timer = window.setTimeout(log.again, RETRY);
		}
		log.busy = false;
		redraw();
	};
	const log: Log = { items: [], state: 'loading', problem: null, again: () => void read(false), more: null, busy: false };

	// A change that is seen has a line in the log. Who reads older ones is left alone.
	const stop = onChange((_, thing) => {
		if (thing.kind === 'operation' || log.items.length > limit) return;
		clearTimeout(timer);
		timer = window.setTimeout(log.again, 600);
	});
	self.onRemove(() => {
		stop();
		clearTimeout(timer);
	});
	return (filter) => {
		if (filter !== asked) {
			asked = filter;
			log.again();
		}
		return log;
	};
}
