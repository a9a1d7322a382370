/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is drawn often and changes seldom is computed once. */

/** The function with its last result remembered, for as long as its arguments are the same ones. */
export function remembered<A extends unknown[], R>(compute: (...given: A) => R): (...given: A) => R {
	let last: { given: A; result: R } | null = null;
	return (...given) => {
		if (!last || given.length !== last.given.length || given.some((one, i) => one !== last!.given[i])) last = { given, result: compute(...given) };
		return last.result;
	};
}
