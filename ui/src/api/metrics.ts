/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values over time, for graphs. The server keeps a week of them; while a graph is shown its newest
 * values are asked for every few seconds.
 */
import { redraw, type Self } from '../base/view';
import type { Points } from '../parts/chart';
import { send } from './client';
import { Problem, problemOf } from './problem';
import type { Values } from './types';

const STEP = 10000;

export interface History {
	series: Map<string, Points>;
	problem: Problem | null;
	loaded: boolean;
	from: number;
	to: number;
}

/** Keeps a history of `path` true while the component is shown. */
export function follow(self: Self, path: string): { history: History; setSpan: (ms: number) => void; span: () => number } {
	let span = 900000;
	let timer = 0;
	let ended = false;
	const history: History = { series: new Map(), problem: null, loaded: false, from: Date.now() - span, to: Date.now() };

	const read = async () => {
		clearTimeout(timer);
		try {
			const { body } = await send<Values>('GET', `${path}?range=${Math.floor(span / 1000)}s`);
			const step = Number(body.step) * 1000;
			const start = Number(body.start) * 1000;
			history.series = new Map(
				Object.entries((body.series ?? {}) as Record<string, (number | null)[]>).map(([name, values]) => [
					name,
					values.flatMap((value, i): Points => (value === null ? [] : [[start + i * step, value]])),
				]),
			);
			history.problem = null;
		} catch (error) {
			history.problem = problemOf(error);
		}
		history.loaded = true;
		history.to = Date.now();
		history.from = history.to - span;
		redraw();
		// What the server does not keep is not asked for again.
		if (!ended && history.problem?.status !== 404 && history.problem?.status !== 403) timer = window.setTimeout(read, document.hidden ? STEP * 3 : STEP);
	};
	self.onRemove(() => {
		ended = true;
		clearTimeout(timer);
	});
	void read();
	return {
		history,
		span: () => span,
		setSpan: (ms) => {
			span = ms;
			history.from = history.to - span;
			void read();
		},
	};
}

export function scaled(points: Points, by: number): Points {
	return points.map(([at, value]) => [at, value * by]);
}
