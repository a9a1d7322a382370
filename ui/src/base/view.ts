/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Views: trees of nodes made by JSX, and the smallest change of the page that makes it look like one.
 *
 * A component is a function of its properties. One that returns a function keeps state: it is called
 * once, and what it returned draws it every time. Whatever changes what is shown calls redraw();
 * handlers of events do so by themselves. Children may carry keys; those without are matched by place,
 * for which reason null and false hold their place.
 */

export type Child = Node | string | number | boolean | null | undefined | Child[];
// deno-lint-ignore no-explicit-any
type Attributes = Record<string, any>;
/** What a component draws: one node, or nothing. A list has no place of its own in the page. */
export type Root = Exclude<Child, unknown[]>;
export type View<P> = (props: P) => Root;
export type Component<P = Attributes> = (props: P, self: Self) => Root | View<P>;

/** What a component may ask of its place in the page. */
export interface Self {
	/** After its first drawing is in the page. */
	onShow(call: () => void): void;
	/** When it leaves the page. */
	onRemove(call: () => void): void;
}

export interface Node {
	tag: string | Component | null; // null: text
	attributes: Attributes;
	children: Node[];
	key: string | number | undefined;
	text: string;
	dom: globalThis.Node | null;
	instance: Instance | null;
}

interface Instance {
	view: View<Attributes> | null;
	shown: Node | null;
	removers: (() => void)[];
}

function textNode(text: string): Node {
	return { tag: null, attributes: {}, children: [], key: undefined, text, dom: null, instance: null };
}

function toNode(child: Root): Node {
	if (child === null || child === undefined || child === false || child === true) return textNode('');
	return typeof child === 'object' ? child : textNode(String(child));
}

function flatten(children: Child[], into: Node[]): Node[] {
	for (const child of children) {
		if (Array.isArray(child)) flatten(child, into);
		else into.push(toNode(child));
	}
	return into;
}

export function h(tag: string | Component<never>, attributes: Attributes | null, ...children: Child[]): Node {
	const { key, ...rest } = attributes ?? {};
	const node: Node = {
		tag: tag as string | Component,
		attributes: rest,
		children: [],
		key,
		text: '',
		dom: null,
		instance: null,
	};
	if (typeof tag === 'string') node.children = flatten(children, []);
	else if (children.length) node.attributes.children = children.length === 1 ? children[0] : children;
	return node;
}

// ---- to the page ----

const SVG = 'http://www.w3.org/2000/svg';
let afterwards: (() => void)[] = [];

function setAttribute(dom: Element, name: string, value: unknown, before: unknown): void {
	if (name === 'value' || name === 'checked' || name === 'indeterminate' || name === 'open' || name === 'selected') {
		// What a person typed counts as the value before.
		const target = dom as unknown as Record<string, unknown>;
		if (target[name] !== (value ?? (name === 'value' ? '' : false)))
			target[name] = value ?? (name === 'value' ? '' : false);
		return;
	}
	if (value === before) return;
	if (name === 'style') {
		const style = (dom as HTMLElement).style;
		const now = (value ?? {}) as Record<string, string>;
		for (const key of Object.keys((before ?? {}) as object)) if (!(key in now)) style.removeProperty(key);
		for (const [key, text] of Object.entries(now)) style.setProperty(key, text);
		return;
	}
	if (name.startsWith('on')) {
		const handlers = dom as unknown as Record<string, unknown>;
		handlers[name.toLowerCase()] = value
			? (event: Event) => {
					const result = (value as (event: Event) => unknown)(event);
					redraw();
					return result;
				}
			: null;
		return;
	}
	if (value === null || value === undefined || value === false) dom.removeAttribute(name);
	else dom.setAttribute(name, value === true ? '' : String(value));
}

function setAttributes(dom: Element, now: Attributes, before: Attributes): void {
	for (const name of Object.keys(before)) {
		if (!(name in now) && name !== 'ref' && name !== 'children') setAttribute(dom, name, undefined, before[name]);
	}
	for (const [name, value] of Object.entries(now)) {
		if (name !== 'ref' && name !== 'children') setAttribute(dom, name, value, before[name]);
	}
}

function instantiate(node: Node): void {
	const instance: Instance = { view: null, shown: null, removers: [] };
	const self: Self = {
		onShow: (call) => afterwards.push(call),
		onRemove: (call) => instance.removers.push(call),
	};
	const drawn = (node.tag as Component)(node.attributes, self);
	if (typeof drawn === 'function') {
		instance.view = drawn;
		instance.shown = toNode(drawn(node.attributes));
	} else {
		instance.shown = toNode(drawn);
	}
	node.instance = instance;
}

function create(node: Node, svg: boolean): globalThis.Node {
	if (node.tag === null) return (node.dom = document.createTextNode(node.text));
	if (typeof node.tag !== 'string') {
		instantiate(node);
		return (node.dom = create(node.instance!.shown!, svg));
	}
	const inside = svg || node.tag === 'svg';
	const dom = inside ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
	for (const child of node.children) dom.appendChild(create(child, inside));
	// After the children: the value of a select is one of them.
	setAttributes(dom, node.attributes, {});
	const { ref } = node.attributes;
	if (ref) afterwards.push(() => ref(dom));
	return (node.dom = dom);
}

function discard(node: Node): void {
	if (node.instance) {
		for (const call of node.instance.removers) call();
		if (node.instance.shown) discard(node.instance.shown);
	}
	for (const child of node.children) discard(child);
}

function same(a: Node, b: Node): boolean {
	return a.tag === b.tag && a.key === b.key;
}

/** Makes what shows `before` show `node`; they are of the same tag. */
function update(node: Node, before: Node, svg: boolean): void {
	if (node.tag === null) {
		node.dom = before.dom;
		if (node.text !== before.text) node.dom!.nodeValue = node.text;
		return;
	}
	if (typeof node.tag !== 'string') {
		const instance = before.instance!;
		const old = instance.shown!;
		const drawn = instance.view
			? instance.view(node.attributes)
			: ((node.tag as Component)(node.attributes, { onShow() {}, onRemove() {} }) as Root);
		const now = toNode(drawn);
		node.instance = instance;
		instance.shown = now;
		node.dom = replace(now, old, svg);
		return;
	}
	const inside = svg || node.tag === 'svg';
	node.dom = before.dom;
	updateChildren(node.dom as Element, node.children, before.children, inside);
	setAttributes(node.dom as Element, node.attributes, before.attributes);
}

function replace(node: Node, before: Node, svg: boolean): globalThis.Node {
	if (same(node, before)) {
		update(node, before, svg);
		return node.dom!;
	}
	const old = before.dom!;
	discard(before);
	const dom = create(node, svg);
	old.parentNode?.replaceChild(dom, old);
	return dom;
}

function updateChildren(parent: Element, now: Node[], before: Node[], svg: boolean): void {
	// Mostly nothing has moved.
	if (now.length === before.length && now.every((node, i) => same(node, before[i]!))) {
		for (let i = 0; i < now.length; i++) update(now[i]!, before[i]!, svg);
		return;
	}
	const keyed = new Map<string | number, Node>();
	const unkeyed: Node[] = [];
	for (const node of before) {
		if (node.key !== undefined) keyed.set(node.key, node);
		else unkeyed.push(node);
	}
	let place = 0;
	const kept = new Set<Node>();
	for (const node of now) {
		const candidate = node.key !== undefined ? keyed.get(node.key) : unkeyed[place++];
		if (candidate && !kept.has(candidate) && same(node, candidate)) {
			kept.add(candidate);
			update(node, candidate, svg);
		} else {
			create(node, svg);
		}
	}
	for (const node of before) {
		if (kept.has(node)) continue;
		discard(node);
		const dom = node.dom!;
		if (dom.parentNode === parent) parent.removeChild(dom);
	}
	// Backwards, so that what stands right is left alone: moving an element would take its focus.
	let next: globalThis.Node | null = null;
	for (let i = now.length - 1; i >= 0; i--) {
		const dom = now[i]!.dom!;
		if (dom.nextSibling !== next || dom.parentNode !== parent) parent.insertBefore(dom, next);
		next = dom;
	}
}

// ---- drawing ----

let root: { element: Element; draw: () => Root; failed: (error: unknown) => Node; shown: Node | null } | null = null;
let planned = false;

function drawNow(): void {
	planned = false;
	if (!root) return;
	try {
		const node = h('div', { class: 'root' }, root.draw());
		if (root.shown) update(node, root.shown, false);
		else root.element.replaceChildren(create(node, false));
		root.shown = node;
	} catch (error) {
		// A mistake of ours on one page must not take the others along: all is drawn from nothing.
		root.shown = null;
		afterwards = [];
		root.element.replaceChildren(create(root.failed(error), false));
		return;
	}
	const calls = afterwards;
	afterwards = [];
	for (const call of calls) call();
}

/** Draws the page anew, once, soon. */
export function redraw(): void {
	if (planned) return;
	planned = true;
	if (document.hidden) setTimeout(drawNow, 50);
	else requestAnimationFrame(drawNow);
}

/** Shows what `draw` returns in `element`, from now on; what `failed` returns when that has thrown. */
export function mount(element: Element, draw: () => Root, failed: (error: unknown) => Node): void {
	root = { element, draw, failed, shown: null };
	drawNow();
}
