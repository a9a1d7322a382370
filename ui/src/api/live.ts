/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the server has, kept true: lists are read once, then the event stream changes them. When the
 * stream breaks it goes on where it was (its resume token); when the server says that it cannot
 * (resync), everything that is shown is read anew.
 *
 * Invariant: what an event said while a list was being read is newer than the list.
 */
import { redraw } from '../base/view';
import { type Page, send } from './client';
import { type Problem, problemOf } from './problem';
import { type Kind, kindOf } from './schema';
import type { Thing, Values } from './types';

const PAGE = 1000;
const MOST = 20000;

export interface Collection {
	kind: Kind;
	state: 'loading' | 'ready' | 'failed';
	problem: Problem | null;
	partial: boolean; // there are more than MOST
	byUid: Map<string, Thing>;
	sorted: Map<string, Thing[]>; // by project, "": all; made when asked for
	touched: Set<string> | null; // uids that events were about while the list is read
	again: boolean; // it is to be read once more, when this reading has ended
}

export type Connection = 'connecting' | 'live' | 'lost';

const collections = new Map<string, Collection>();
const listeners = new Set<(type: string, thing: Thing) => void>();
let stream: EventSource | null = null;
let token = 0; // the last revision that was heard of
let connection: Connection = 'connecting';
let everLive = false;
let pause = 500;
let timer = 0;

export function connectionState(): Connection {
	return everLive || connection !== 'connecting' ? connection : 'live';
}

/** Calls back for every event about an object; the result ends it. */
export function onChange(call: (type: string, thing: Thing) => void): () => void {
	listeners.add(call);
	return () => listeners.delete(call);
}

export function collection(name: string): Collection {
	let found = collections.get(name);
	if (!found) {
		found = {
			kind: kindOf(name),
			state: 'loading',
			problem: null,
			partial: false,
			byUid: new Map(),
			sorted: new Map(),
			touched: null,
			again: false,
		};
		collections.set(name, found);
		void load(found);
	}
	return found;
}

const collator = new Intl.Collator(undefined, { numeric: true });

function byName(a: Thing, b: Thing): number {
	return collator.compare(a.project ?? '', b.project ?? '') || collator.compare(a.name, b.name);
}

/** The objects of a kind by project and name; empty while they are read. The same array until one of them changes. */
export function things(name: string, project = ''): Thing[] {
	const found = collection(name);
	const part = found.kind.scope === 'project' ? project : '';
	let list = found.sorted.get(part);
	if (!list) {
		list = part ? things(name).filter((one) => one.project === part) : [...found.byUid.values()].sort(byName);
		found.sorted.set(part, list);
	}
	return list;
}

/** One is another than before, of the same name: the order is kept. */
function exchange(found: Collection, before: Thing, one: Thing): void {
	for (const [part, list] of found.sorted) {
		const at = list.indexOf(before);
		if (at >= 0) found.sorted.set(part, list.with(at, one));
	}
}

export function thing(kind: string, project: string | undefined, name: string): Thing | undefined {
	return things(kind, project).find((one) => one.name === name);
}

/** Calls `take` with each page of a list; whether there are more than MOST. */
async function readAll(path: string, take: (items: Thing[]) => void): Promise<boolean> {
	let after = '';
	let count = 0;
	do {
		const query = `?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ''}`;
		const { body } = await send<Page>('GET', path + query);
		take(body.items ?? []);
		count += body.items?.length ?? 0;
		after = body.next ?? '';
	} while (after && count < MOST);
	return after !== '';
}

async function load(into: Collection): Promise<void> {
	// One reading at a time: what asks for more of them meanwhile gets one more.
	if (into.touched) {
		into.again = true;
		return;
	}
	into.again = false;
	into.touched = new Set();
	const { touched, byUid } = into;
	const gone = new Set(byUid.keys());
	try {
		// What there was is shown while it is read anew, and of what there was not, what has come.
		into.partial = await readAll(`/v1/${into.kind.plural}`, (items) => {
			for (const one of items) {
				gone.delete(one.uid);
				if (!touched.has(one.uid)) byUid.set(one.uid, one);
			}
			into.sorted.clear();
			redraw();
		});
		for (const uid of gone) if (!touched.has(uid)) byUid.delete(uid);
		into.state = 'ready';
		into.problem = null;
	} catch (error) {
		into.problem = problemOf(error);
		if (into.state !== 'ready') into.state = 'failed';
	}
	into.touched = null;
	into.sorted.clear();
	redraw();
	if (into.again && collections.get(into.kind.name) === into) await load(into);
}

/** Reads a list again, after a failure. */
export function reload(name: string): void {
	const found = collections.get(name);
	if (!found) return;
	if (found.state === 'failed') found.state = 'loading';
	void load(found);
}

/** Adds objects whose name or label fits, of a kind that there are too many of to hold all. */
export async function searchServer(kind: Kind, search: string): Promise<void> {
	const conditions = search
		.trim()
		.split(/\s+/)
		.map((word) => word.replace(/,/g, '\\,'))
		.map((word) => (word.includes('=') ? `labels.${word}` : `name~${word}`));
	try {
		const { body } = await send<Page>('GET', `/v1/${kind.plural}?limit=${PAGE}&filter=${encodeURIComponent(conditions.join(','))}`);
		for (const one of body.items ?? []) learn(one);
	} catch {
		// what is held is searched all the same
	}
}

function keep(found: Collection, one: Thing): void {
	const before = found.byUid.get(one.uid);
	found.byUid.set(one.uid, one);
	found.touched?.add(one.uid);
	if (before && before.name === one.name && before.project === one.project) exchange(found, before, one);
	else found.sorted.clear();
	redraw();
}

/**
 * Takes an object from an answer, so that it is shown before its event comes. What is observed has no
 * revision of its own: of the same revision, an event that was faster is as new or newer.
 */
export function learn(one: Thing): void {
	const found = collections.get(one.kind);
	if (found && one.uid && (found.byUid.get(one.uid)?.revision ?? -1) < one.revision) keep(found, one);
}

function forget(kind: string, project: string | undefined, name: string, revision: number): Thing | undefined {
	const found = collections.get(kind);
	const one = found && [...found.byUid.values()].find((other) => other.name === name && (!other.project || other.project === project));
	// One of the same name that was made after the deletion stays.
	if (!found || !one || one.revision > revision) return undefined;
	found.byUid.delete(one.uid);
	found.touched?.add(one.uid);
	found.sorted.clear();
	redraw();
	return one;
}

/** {"revision", "type": "create" | "change" | "status" | "delete", "kind", "project", "name", "object"} */
function take(event: MessageEvent<string>): void {
	const message = JSON.parse(event.data) as Values;
	token = Number(message.revision) || token;
	if (message.type === 'delete') {
		const gone = forget(message.kind, message.project, message.name, token);
		if (gone) for (const call of listeners) call('delete', gone);
		return;
	}
	const one = message.object as Thing | undefined;
	const found = collections.get(message.kind);
	if (!one) return;
	if (found && (found.byUid.get(one.uid)?.revision ?? 0) <= one.revision) keep(found, one);
	for (const call of listeners) call(message.type, one);
}

function resync(event: Event): void {
	token = Number((JSON.parse((event as MessageEvent<string>).data) as Values).revision) || 0;
	for (const found of collections.values()) void load(found);
}

function setConnection(now: Connection): void {
	if (connection === now) return;
	connection = now;
	redraw();
}

function connect(): void {
	// One revision may be several events: the last one is told again as a whole.
	stream = new EventSource(`/v1/events${token ? `?after=${token - 1}` : ''}`);
	stream.onopen = () => {
		// What was missed without a token to resume from is read.
		if (everLive && !token) for (const found of collections.values()) void load(found);
		everLive = true;
		pause = 500;
		setConnection('live');
		for (const found of collections.values()) if (found.state === 'failed') reload(found.kind.name);
	};
	for (const type of ['create', 'change', 'status', 'delete']) stream.addEventListener(type, take as (event: Event) => void);
	stream.addEventListener('ready', (event) => {
		token = Number((JSON.parse((event as MessageEvent<string>).data) as Values).revision) || token;
	});
	stream.addEventListener('resync', resync);
	stream.onerror = () => {
		stream?.close();
		stream = null;
		setConnection('lost');
		clearTimeout(timer);
		timer = window.setTimeout(reconnect, pause);
		pause = Math.min(pause * 1.7, 8000);
	};
}

/** A stream does not say why it ended: whether somebody is signed in still is asked first. */
async function reconnect(): Promise<void> {
	const before = timer;
	await send('GET', '/v1/session').catch(() => null);
	if (!stream && timer === before) connect();
}

function online(): void {
	if (connection !== 'lost' || stream) return;
	clearTimeout(timer);
	connect();
}

export function startLive(): void {
	if (stream) return;
	connect();
	addEventListener('online', online);
}

/** Until startLive() what is known stays as it is. */
export function pauseLive(): void {
	removeEventListener('online', online);
	clearTimeout(timer);
	timer = 0;
	stream?.close();
	stream = null;
}

/** Forgets everything: another one may sign in. */
export function stopLive(): void {
	pauseLive();
	collections.clear();
	token = 0;
	everLive = false;
	connection = 'connecting';
}
