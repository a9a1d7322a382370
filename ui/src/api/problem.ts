/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, as the server says it: a stable code, words, a hint, and the field that is meant. */

export class Problem extends Error {
	constructor(
		readonly status: number,
		readonly code: string,
		message: string,
		readonly hint = '',
		readonly field = '',
	) {
		super(message);
	}
}

export function problemOf(error: unknown): Problem {
	if (error instanceof Problem) return error;
	if (error instanceof TypeError)
		return new Problem(0, 'unreachable', 'The server does not answer', 'The page tries again by itself');
	return new Problem(0, 'internal', error instanceof Error ? error.message : String(error));
}
