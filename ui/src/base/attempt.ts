/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a form does when it is sent. */
import { type Problem, problemOf } from '../api/problem';
import { redraw } from './view';

export interface Attempt {
	/** It is under way. */
	busy: boolean;
	/** What the last one failed for. */
	problem: Problem | null;
	/** Does it; what it throws is the problem. */
	run(work: () => Promise<unknown>): Promise<void>;
}

/** `failed`: what else there is to do then. */
export function attempts(failed: () => void = () => {}): Attempt {
	return {
		busy: false,
		problem: null,
		async run(work) {
			this.busy = true;
			this.problem = null;
			redraw();
			try {
				await work();
			} catch (error) {
				this.problem = problemOf(error);
				failed();
			}
			this.busy = false;
			redraw();
		},
	};
}
