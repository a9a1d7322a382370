/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What JSX may hold: any element with any attributes, and components with theirs. */
import type { Node, Root, View } from './view';

declare global {
	namespace JSX {
		type Element = Node;
		interface ElementChildrenAttribute {
			children: unknown;
		}
		interface IntrinsicAttributes {
			key?: string | number;
		}
		interface IntrinsicElements {
			// eslint-disable-next-line @typescript-eslint/no-explicit-any
			[name: string]: any;
		}
		type ElementType = string | ((props: any, self: any) => Root | View<any>);
	}
}
